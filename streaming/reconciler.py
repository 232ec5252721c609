"""Which replies does nobody write, and what is asked of those that are written here?

Once a sweep the process compares what it does with what the database says it should do: it keeps
checkpoints, heeds requests, adopts orphans and forgets what is gone. Whatever woke it too late, or
not at all, is put right here.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable

from django.conf import settings

from chats import connections, idempotency
from chats.models import Reply
from chats.replies import leases, recovery
from core.db.executor import in_thread
from core.errors import ApiError
from streaming.heartbeat import Lease
from streaming.hub import Hub
from streaming.reply_runner import ReplyRunner

logger = logging.getLogger(__name__)

#: How often answers that an Idempotency-Key brings back no more, and processes long dead, are forgotten, in seconds.
FORGET_SECONDS = 600.0


class Reconciler:
    """The rounds of one process."""

    def __init__(
        self,
        process_id: uuid.UUID,
        *,
        lease: Lease,
        hub: Hub,
        runners: dict[uuid.UUID, ReplyRunner],
        run: Callable[[Reply], None],
        may_adopt: Callable[[], bool],
    ) -> None:
        self._process_id = process_id
        self._lease = lease
        self._hub = hub
        #: What is written here, by reply.
        self._runners = runners
        self._run = run
        self._may_adopt = may_adopt
        self._tidied_at = 0.0
        self._forgot_at = 0.0

    async def run(self) -> None:
        """Go round once a sweep, until cancelled."""
        while True:
            await asyncio.sleep(settings.SWEEP_SECONDS)
            try:
                await self._keep()
                await self.reconcile_owned()
                await self._adopt()
                if time.monotonic() - self._tidied_at >= settings.BEAT_SECONDS:
                    self._tidied_at = time.monotonic()
                    await self._tidy()
            except ApiError:
                continue  # The database is away; the heartbeat says so in the log.
            except Exception:
                logger.exception("the reconciler failed; it goes on")

    async def reconcile_owned(self) -> None:
        """Compare what runs here with what the database says runs here. Raises ApiError SERVICE_UNAVAILABLE."""
        for reply in await in_thread(recovery.owned, process_id=self._process_id):
            runner = self._runners.get(reply.id)
            if runner is None:
                await self._run_forgotten(reply)
            elif reply.stop_requested and runner.reply.epoch == reply.epoch:
                runner.stop()

    async def _keep(self) -> None:
        said = []
        for runner in self._runners.values():
            count = len(runner.live.pieces)
            if count > runner.kept:
                pieces = runner.live.pieces[runner.kept : count]
                said.append(
                    (runner, count, recovery.CheckpointDelta(runner.reply.id, runner.reply.epoch, runner.kept, pieces))
                )
        if said and self._lease.holds():
            await in_thread(recovery.do_checkpoint, process_id=self._process_id, said=[item for _, _, item in said])
            for runner, count, _ in said:
                runner.kept = count

    async def _run_forgotten(self, reply: Reply) -> None:
        """Run a reply that was claimed by a transaction whose answer was lost.

        It is asked for again: its runner may have ended since the list was read.
        """
        if await in_thread(
            recovery.still_owns,
            tenant_id=reply.tenant_id,
            reply_id=reply.id,
            epoch=reply.epoch,
            process_id=self._process_id,
        ):
            self._run(reply)

    async def _adopt(self) -> None:
        if not self._may_adopt() or not self._lease.holds():
            return
        orphans = await in_thread(
            recovery.find_orphans, process_id=self._process_id, dead_owners_too=self._lease.may_take_over()
        )
        is_first = True
        for orphan in orphans:
            # Asked each time: one that was just adopted may have frozen this process meanwhile, or it is told to stop.
            is_leased = self._lease.may_take_over() if orphan.is_suspect else self._lease.holds()
            if not (is_leased and self._may_adopt()):
                return
            reply = await in_thread(recovery.adopt_orphan, orphan=orphan, process_id=self._process_id)
            if reply is None:
                continue
            logger.info("reply %s is adopted, try %d", reply.id, reply.tries)
            self._run(reply)
            if orphan.is_suspect and is_first:
                # Alone for a moment: if it freezes this process, too, it takes no other reply with it.
                is_first = False
                await asyncio.sleep(settings.SWEEP_SECONDS / 2)

    async def _tidy(self) -> None:
        alive = self._hub.connection_ids
        await in_thread(connections.tidy, process_id=self._process_id, open_connections=alive)
        if time.monotonic() - self._forgot_at >= FORGET_SECONDS:
            self._forgot_at = time.monotonic()
            await in_thread(idempotency.do_forget)
            await in_thread(leases.forget_dead)
        if key_ids := self._hub.key_ids:
            self._hub.close_keys(await in_thread(connections.dead_keys, key_ids))
