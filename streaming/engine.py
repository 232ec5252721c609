"""What runs in a server process besides its requests, and how does it start and stop?

The engine owns the heartbeat, the replies this process writes, and the look-out for replies nobody
writes. It starts with the server, never in a command.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Coroutine
from typing import Any

from django.conf import settings

from agents.catalog import close_all
from chats import idempotency, presence, takeover, wake
from chats.models import Reply
from lexicon.database import in_thread
from lexicon.errors import ApiError
from streaming.heartbeat import Heartbeat, Lease
from streaming.hub import Hub
from streaming.runner import Runner

logger = logging.getLogger(__name__)

#: How long the pieces of a reply are kept in memory when it has ended.
LIVE_KEPT_SECONDS = 30.0
#: How often answers are forgotten that an Idempotency-Key brings back no more.
FORGET_SECONDS = 600.0


class Engine:
    """The live half of one server process."""

    def __init__(self) -> None:
        self.process_id = uuid.uuid4()
        self.hub = Hub()
        #: No new reply is begun any more.
        self.draining = False
        self.loop = asyncio.get_running_loop()
        self._lease = Lease(self.loop)
        self._heartbeat = Heartbeat(self.process_id, self._lease)
        self._runners: dict[uuid.UUID, Runner] = {}
        self._running: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._drained_at = 0.0
        self._tidied_at = 0.0
        self._forgot_at = 0.0

    # --- Life ---

    def start(self) -> None:
        """Beat, listen, and look out."""
        self._heartbeat.start()
        wake.listen(self._changed)
        self.spawn(self._look_out(), "look-out")
        logger.info("process %s started", self.process_id)

    async def beats(self, seconds: float) -> None:
        """Wait until the database knows this process, but no longer than so many seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lease.renewed(), seconds)

    def drain(self) -> None:
        """The process is about to stop: begin no reply, and hand over what still runs when the time is up."""
        if not self.draining:
            self.draining = True
            self._drained_at = time.monotonic() + settings.DRAIN_SECONDS
            self.loop.call_later(settings.DRAIN_SECONDS, self._cut)

    async def stop(self) -> None:
        """Let replies end for as long as draining allows, hand over the rest, and leave in good order."""
        self.drain()
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=max(0.0, self._drained_at - time.monotonic()))
        self._cut()
        while self._running:
            await asyncio.wait(list(self._running.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        wake.stop_listening(self._changed)
        await asyncio.to_thread(self._heartbeat.stop)
        try:
            await in_thread(presence.do_retire, self.process_id)
        except ApiError:
            logger.warning("process %s leaves without the database knowing; its lease will tell", self.process_id)
        await close_all()
        logger.info("process %s stopped", self.process_id)

    def _cut(self) -> None:
        for task in self._running.values():
            task.cancel()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside everything else; the task is kept, and its failure logged."""
        task = self.loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            logger.error("%s failed", task.get_name(), exc_info=failure)

    # --- Replies ---

    @property
    def claims_for(self) -> uuid.UUID | None:
        """For whom a message that is posted now claims its reply: this process, or nobody while it stops.

        Before its first beat no row may name it.
        """
        return self.process_id if self._lease.lapses and not self.draining else None

    @property
    def is_leased(self) -> bool:
        """Whether the database knows that this process lives."""
        return self._lease.holds()

    def run(self, reply: Reply | None) -> None:
        """Write this reply, if it runs and is this process's. Asked twice, it is written once."""
        if reply is None or reply.state != Reply.State.RUNNING or reply.owner_id != self.process_id:
            return
        if reply.id in self._runners:
            return
        live = self.hub.open_live(reply.id, reply.chat_id, reply.epoch)
        runner = Runner(
            reply=reply,
            process_id=self.process_id,
            lease=self._lease,
            live=live,
            said=self.hub.said,
            claims_for=lambda: self.claims_for,
        )
        self._runners[reply.id] = runner
        self._running[reply.id] = self.spawn(self._run(runner), f"reply {reply.id}")
        if reply.stop_requested:
            runner.stop()

    async def _run(self, runner: Runner) -> None:
        reply = runner.reply
        next_reply = None
        try:
            next_reply = await runner.run()
        except asyncio.CancelledError:
            await self._hand_over(reply)
        finally:
            del self._runners[reply.id], self._running[reply.id]
            # A reader that comes back a moment later still finds the pieces as they were cut.
            self.loop.call_later(LIVE_KEPT_SECONDS, self.hub.forget_live, runner.live)
            self.hub.notify(reply.chat_id)
        self.run(next_reply)

    async def _hand_over(self, reply: Reply) -> None:
        try:
            await in_thread(
                takeover.hand_over,
                tenant_id=reply.tenant_id,
                chat_id=reply.chat_id,
                reply_id=reply.id,
                epoch=reply.epoch,
            )
        except ApiError:
            logger.warning("reply %s could not be handed over; its lease will tell", reply.id)

    # --- Looking out ---

    def _changed(self, chat_id: uuid.UUID, owner_asked: bool) -> None:
        """Something was committed, in whatever thread."""
        self.loop.call_soon_threadsafe(self._take_note, chat_id, owner_asked)

    def _take_note(self, chat_id: uuid.UUID, owner_asked: bool) -> None:
        self.hub.notify(chat_id)
        if owner_asked and any(runner.reply.chat_id == chat_id for runner in self._runners.values()):
            self.spawn(self._mind_own(), "requests")

    async def _look_out(self) -> None:
        """Once a sweep: keep checkpoints, heed requests, adopt orphans, forget what is gone."""
        while True:
            await asyncio.sleep(settings.SWEEP_SECONDS)
            try:
                await self._keep()
                await self._mind_own()
                await self._adopt()
                if time.monotonic() - self._tidied_at >= settings.BEAT_SECONDS:
                    self._tidied_at = time.monotonic()
                    await self._tidy()
            except ApiError:
                continue  # The database is away; the heartbeat says so in the log.
            except Exception:
                logger.exception("the look-out failed; it goes on")

    async def _keep(self) -> None:
        said = []
        for runner in self._runners.values():
            count = len(runner.live.pieces)
            if count > runner.kept:
                pieces = runner.live.pieces[runner.kept : count]
                said.append((runner, count, takeover.Said(runner.reply.id, runner.reply.epoch, runner.kept, pieces)))
        if said and self._lease.holds():
            await in_thread(takeover.do_checkpoint, process_id=self.process_id, said=[item for _, _, item in said])
            for runner, count, _ in said:
                runner.kept = count

    async def _mind_own(self) -> None:
        """Compare what runs here with what the database says runs here."""
        for reply in await in_thread(takeover.owned, process_id=self.process_id):
            runner = self._runners.get(reply.id)
            if runner is None:
                await self._run_forgotten(reply)
            elif reply.stop_requested and runner.reply.epoch == reply.epoch:
                runner.stop()

    async def _run_forgotten(self, reply: Reply) -> None:
        """Run a reply that was claimed by a transaction whose answer was lost.

        It is asked for again: its runner may have ended since the list was read.
        """
        if await in_thread(
            takeover.stands,
            tenant_id=reply.tenant_id,
            reply_id=reply.id,
            epoch=reply.epoch,
            process_id=self.process_id,
        ):
            self.run(reply)

    async def _adopt(self) -> None:
        if self.draining or not self._lease.holds():
            return
        orphans = await in_thread(
            takeover.find_orphans, process_id=self.process_id, dead_owners_too=self._lease.may_take_over()
        )
        for orphan in orphans:
            reply = await in_thread(takeover.adopt, orphan=orphan, process_id=self.process_id)
            if reply is not None:
                logger.info("reply %s is adopted, try %d", reply.id, reply.tries)
                self.run(reply)

    async def _tidy(self) -> None:
        alive = self.hub.connection_ids
        await in_thread(presence.tidy, process_id=self.process_id, open_connections=alive)
        if time.monotonic() - self._forgot_at >= FORGET_SECONDS:
            self._forgot_at = time.monotonic()
            await in_thread(idempotency.do_forget)
        if key_ids := self.hub.key_ids:
            self.hub.close_keys(await in_thread(presence.dead_keys, key_ids))


_engine: Engine | None = None


def start() -> Engine:
    """Start this process's engine, in the running event loop."""
    global _engine
    _engine = Engine()
    _engine.start()
    return _engine


def engine() -> Engine:
    """This process's engine. Raises RuntimeError where none was started."""
    if _engine is None:
        raise RuntimeError("the engine runs in a server only: see lexicon/asgi.py")
    return _engine


def drain() -> None:
    """The process is about to stop. Called by a signal handler, at any moment."""
    if _engine is not None:
        _engine.loop.call_soon_threadsafe(_engine.drain)
