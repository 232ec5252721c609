"""May this process still go on with what it holds?

One row a process, renewed on a thread and a database connection of its own, so that neither a busy
event loop nor a full pool delays it. One that hangs does: a process whose event loop has not turned
for a whole lease beats no more, and others take over what it holds. The owner of a reply trusts only
the monotonic clock, counted from before the last answered beat was sent, and stops a margin before
others may take over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.db import connections

from chats.replies import leases
from core import redis
from core.db.executor import misses_migrations
from core.observability import metrics

logger = logging.getLogger(__name__)

#: Seconds until a beat that failed is tried again, where that is sooner than the next.
_RETRY_SECONDS = 0.5
_SILENT = "the database does not answer"
_LATE = "the event loop hung until a moment ago"
_NOT_MIGRATED = "migrations are missing: run manage.py migrate"
_NOT_ALONE = "another process serves from this database: set REDIS_URL for both, or stop one"


class Lease:
    """What the last answered beat allows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._until = float("-inf")
        self._since = 0.0
        self._renewed = asyncio.Event()
        #: Since when the event loop owes a sign that it turns; None where it owes none.
        self._sign_asked: float | None = None
        #: How often the lease ran out before it was renewed. Who held something across a lapse asks
        #: the database whether it still does.
        self.lapses = 0

    def holds(self) -> bool:
        """Whether the process may act on what it owns."""
        return self._clock() < self._until

    def may_take_over(self) -> bool:
        """Whether it may judge others dead: not before a whole lease without a lapse.

        After an outage of the database everybody looks dead to the process that beats first.
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

    def loop_turns(self) -> bool:
        """Whether the event loop has turned within a lease. Asked before each beat, in the heartbeat's thread."""
        asked = self._sign_asked
        if asked is None:
            asked = self._sign_asked = self._clock()
            # A loop that is closed gives no sign either.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._give_sign)
        return self._clock() - asked < settings.LEASE_SECONDS

    def _give_sign(self) -> None:
        self._sign_asked = None


class Heartbeat:
    """The thread that beats, and by that knows whether the database, and Redis, can be worked with."""

    def __init__(self, process_id: uuid.UUID, lease: Lease) -> None:
        self._process_id = process_id
        self._lease = lease
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._is_migrated = False
        self._is_accompanied = False
        self._is_failing = False
        self._is_hanging = False
        self._problem: str | None = "the database did not answer yet"
        #: What `core.redis.state` said last.
        self.redis = ""

    @property
    def problem(self) -> str | None:
        """What keeps this process from working as of the last beat, in words for `/readyz`; None where nothing does."""
        if self._problem or self._lease.holds():
            return self._problem
        return _LATE if self._is_hanging else _SILENT

    def start(self) -> None:
        """Beat from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; waits for a beat that is under way."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        self._look_for_redis()
        while not self._stop.is_set():
            if self._look_at_loop():
                self._stop.wait(settings.BEAT_SECONDS)
                continue
            asked = time.monotonic()
            try:
                leases.beat(self._process_id)
                # Before the lease: what waits for that may ask for this at once.
                self._problem = self._find_problem()
                self._lease.renew(asked)
            except Exception:
                if not self._is_failing:
                    logger.exception("the heartbeat is not answered; trying again until it is")
                self._is_failing = True
                self._problem = self._find_why()
                connections.close_all()
            else:
                if self._is_failing:
                    logger.info("the heartbeat is answered again")
                self._is_failing = False
                metrics.heartbeat_answered(asked)
            self._look_for_redis()
            self._stop.wait(min(settings.BEAT_SECONDS, _RETRY_SECONDS) if self._is_failing else settings.BEAT_SECONDS)
        connections.close_all()

    def _look_for_redis(self) -> None:
        self.redis = redis.state()
        metrics.REDIS_UP.set(self.redis != "away")

    def _look_at_loop(self) -> bool:
        """Whether the event loop hangs; the log is told when that begins and ends."""
        hangs = not self._lease.loop_turns()
        if hangs and not self._is_hanging:
            logger.error("the event loop hangs: others take over what this process holds, until it turns again")
        elif self._is_hanging and not hangs:
            logger.info("the event loop turns again")
        self._is_hanging = hangs
        return hangs

    def _find_problem(self) -> str | None:
        """What is wrong though the database answers."""
        # What is applied once stays applied; the plan costs a hundred times a beat.
        self._is_migrated = self._is_migrated or not misses_migrations()
        if not self._is_migrated:
            return _NOT_MIGRATED
        if not settings.REDIS_URL and self._look_for_others():
            return _NOT_ALONE
        return None

    def _find_why(self) -> str:
        """Why a beat failed."""
        try:
            return _NOT_MIGRATED if not self._is_migrated and misses_migrations() else _SILENT
        except Exception:
            return _SILENT

    def _look_for_others(self) -> bool:
        """Whether another process lives here that this one cannot talk to; the log is told when one comes."""
        others = leases.others_alive(self._process_id)
        if others and not self._is_accompanied:
            logger.error(
                "another process serves from this database, and REDIS_URL is not set: neither hears what the other "
                "is saying. Set it for both, or stop one. Until then /readyz is 503"
            )
        self._is_accompanied = others
        return others
