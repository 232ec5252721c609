"""May this process still go on with what it holds?

One row a process, renewed on a thread and a database connection of its own, so that neither a busy
event loop nor a full pool delays it. The owner of a reply trusts only the monotonic clock, counted
from before the last answered beat was sent, and stops a margin before others may take over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.db import connections

from chats import presence
from lexicon import metrics

logger = logging.getLogger(__name__)


class Lease:
    """What the last answered beat allows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._until = float("-inf")
        self._since = 0.0
        self._renewed = asyncio.Event()
        #: How often the lease ran out before it was renewed. Who held something across a lapse asks
        #: the database whether it still does.
        self.lapses = 0

    def holds(self) -> bool:
        """Whether the process may act on what it owns."""
        return self._clock() < self._until

    def may_take_over(self) -> bool:
        """Whether it may judge others dead: not before a whole lease without a lapse.

        After an outage of the database everybody looks dead to whoever beats first.
        """
        return self.holds() and self._clock() - self._since >= settings.LEASE_SECONDS

    async def renewed(self) -> None:
        """Wait until the lease holds."""
        while not self.holds():
            self._renewed.clear()
            await self._renewed.wait()

    def renew(self, asked: float) -> None:
        """A beat sent at `asked` was answered. Called in the heartbeat's thread."""
        if self._clock() >= self._until:
            self.lapses += 1
            self._since = asked
        self._until = asked + settings.LEASE_SECONDS - settings.LEASE_MARGIN_SECONDS
        self._loop.call_soon_threadsafe(self._renewed.set)


class Heartbeat:
    """The thread that beats."""

    def __init__(self, process_id: uuid.UUID, lease: Lease) -> None:
        self._process_id = process_id
        self._lease = lease
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; waits for a beat that is under way."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        failing = accompanied = False
        while not self._stop.is_set():
            asked = time.monotonic()
            try:
                presence.beat(self._process_id)
                self._lease.renew(asked)
                accompanied = self._look_for_others(accompanied)
            except Exception:
                if not failing:
                    logger.exception("the heartbeat is not answered; trying again until it is")
                failing = True
                connections.close_all()
            else:
                if failing:
                    logger.info("the heartbeat is answered again")
                failing = False
                metrics.heartbeat_answered(asked)
            self._stop.wait(settings.BEAT_SECONDS)
        connections.close_all()

    def _look_for_others(self, accompanied: bool) -> bool:
        """Whether another process lives here that this one cannot talk to; the log is told when one comes."""
        if settings.REDIS_URL:
            return False
        others = presence.others_alive(self._process_id)
        if others and not accompanied:
            logger.error(
                "another process serves from this database, and REDIS_URL is not set: neither hears what the other "
                "is saying. Set it for both, or stop one. Until then /readyz is 503"
            )
        return others
