"""What runs in a server process besides its requests, and how does it start and stop?

The engine owns the heartbeat, the replies this process writes, the reconciler that finds replies nobody writes
and, with Redis, its part in the cluster. It starts with the server, never in a command.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from django.conf import settings

from agents.catalog import close_all
from chats import wake
from chats.following import BATCH, ChatSnapshot, read_positions
from chats.models import Reply
from chats.replies import handover, leases
from core import refusals
from core.db.executor import in_thread
from core.errors import ApiError
from core.observability import metrics
from knowledge import embedding_worker, embeddings
from streaming.cluster import Cluster
from streaming.heartbeat import Heartbeat, Lease
from streaming.hub import Hub
from streaming.reconciler import Reconciler
from streaming.reply_runner import ReplyRunner
from streaming.reply_text import ReplyText
from streaming.supervision import supervise
from webhooks import sender

logger = logging.getLogger(__name__)

#: Seconds between two looks at what still runs in a process that stops.
_AGAIN_SECONDS = 0.5
#: How long the pieces of a reply are kept in memory when it has ended.
LIVE_KEPT_SECONDS = 30.0


class Engine:
    """The live half of one server process."""

    def __init__(self) -> None:
        self.process_id = uuid.uuid4()
        self.hub = Hub(self.process_id)
        #: No new reply is begun any more.
        self.draining = False
        self.loop = asyncio.get_running_loop()
        self._lease = Lease(self.loop)
        self._heartbeat = Heartbeat(self.process_id, self._lease)
        self._runners: dict[uuid.UUID, ReplyRunner] = {}
        self._running: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._drained_at = 0.0
        #: Nothing is written here any more: what comes too late is left to the lease.
        self._is_over = False
        self._reconciler = Reconciler(
            self.process_id,
            lease=self._lease,
            hub=self.hub,
            runners=self._runners,
            run=self.run,
            may_adopt=lambda: not self.draining,
        )
        self._cluster = self._new_cluster() if settings.REDIS_URL else None

    def _new_cluster(self) -> Cluster:
        return Cluster(
            self.process_id,
            self.hub,
            running=lambda: {runner.reply.chat_id for runner in self._runners.values()},
            asked=self._asked,
            may_speak=self._lease.holds,
        )

    # --- Life ---

    def start(self) -> None:
        """Beat, listen, and reconcile."""
        self._heartbeat.start()
        wake.listen(self._changed)
        self._keep("reconcile", self._reconciler.run)
        self._keep("webhooks", sender.run)
        if embeddings.is_on():
            self._keep("embeddings", embedding_worker.run)
        self._keep("process_metrics", metrics.watch_process)
        self._keep("refusal_lines", refusals.keep_logging)
        if self._cluster is not None:
            self._cluster.start()
        logger.info("process %s started", self.process_id)

    async def beats(self, seconds: float) -> None:
        """Wait until the database knows this process, but no longer than so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._lease.renewed()

    def drain(self) -> None:
        """The process is about to stop: begin no reply, and hand over what still runs when the time is up.

        Sockets are closed meanwhile, each when the reply it sees has ended (lexicon/server/websocket_protocol.py closes
        those that are left then).
        """
        if not self.draining:
            self.draining = True
            self._drained_at = time.monotonic() + settings.DRAIN_SECONDS
            self.loop.call_later(settings.DRAIN_SECONDS, self._cut)
            self.spawn(self._release_sockets(), "closing of sockets")

    async def _release_sockets(self) -> None:
        """Close every socket that is owed nothing, once it is known whether a reply is being written in its chat."""
        chat_ids = self.hub.followed
        # Where the database is away, what is known here has to do.
        with contextlib.suppress(ApiError):
            for first in range(0, len(chat_ids), BATCH):
                some = chat_ids[first : first + BATCH]
                self.hub.compare(some, await in_thread(read_positions, some))
        self.hub.drain()

    async def stop(self) -> None:
        """Let replies end for as long as draining allows, hand over the rest, and leave in good order."""
        self.drain()
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=max(0.0, self._drained_at - time.monotonic()))
        # One that was about to begin, or to be claimed, may come after the others.
        while running := [task for task in self._running.values() if not task.done()]:
            self._cut()
            await asyncio.wait(running, timeout=_AGAIN_SECONDS)
        self._is_over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        wake.stop_listening(self._changed)
        await asyncio.to_thread(self._heartbeat.stop)
        try:
            await in_thread(leases.do_retire, self.process_id)
        except ApiError:
            logger.warning("process %s leaves without the database knowing; its lease will tell", self.process_id)
        await close_all()
        if self._cluster is not None:
            await self._cluster.stop()
        logger.info("process %s stopped", self.process_id)

    def _cut(self) -> None:
        for task in self._running.values():
            # Once: a second time would cut off the handing over.
            if not task.cancelling():
                task.cancel()

    def _keep(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.spawn(supervise(name, work), name)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside everything else; the task is kept, and its failure logged."""
        # In a context of its own: what the caller's log lines are about, its lines are not.
        task = self.loop.create_task(work, name=name, context=Context())
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

    @property
    def problem(self) -> str | None:
        """What keeps this process from working, in words for `/readyz`; None where nothing does."""
        return self._heartbeat.problem

    @property
    def redis(self) -> str:
        """What `/readyz` tells of Redis, as of the last beat: "up", "away" or "not configured"."""
        return self._heartbeat.redis

    def run(self, reply: Reply | None) -> None:
        """Write this reply, if it runs and is this process's. Asked twice, it is written once."""
        if reply is None or reply.state != Reply.State.RUNNING or reply.owner_id != self.process_id:
            return
        if reply.id in self._runners or self._is_over:
            return
        live = self.hub.open_live(reply.id, reply.chat_id, reply.epoch)
        runner = ReplyRunner(
            reply=reply,
            process_id=self.process_id,
            lease=self._lease,
            live=live,
            said=self._said,
            claims_for=lambda: self.claims_for,
        )
        self._runners[reply.id] = runner
        metrics.REPLIES_RUNNING.inc()
        self._running[reply.id] = self.spawn(self._run(runner), f"reply {reply.id}")
        if self._cluster is not None:
            self._cluster.review()
        if reply.stop_requested:
            runner.stop()

    def run_soon(self, reply: Reply | None) -> None:
        """As `run`, from any thread: who posts a question calls it where the question was stored.

        The client may be gone by then, and with it the task that waits for that thread; the reply is owed all the same.
        """
        self._soon(self.run, reply)

    def _soon(self, call: Callable[..., None], *args: Any) -> None:
        # Where the event loop is closed, the process has ended: its lease tells.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call, *args)

    async def _run(self, runner: ReplyRunner) -> None:
        reply = runner.reply
        next_reply = None
        try:
            next_reply = await runner.run()
        except asyncio.CancelledError:
            await self._hand_over(reply)
        finally:
            del self._runners[reply.id], self._running[reply.id]
            metrics.REPLIES_RUNNING.dec()
            # A reader that comes back a moment later still finds the pieces as they were cut.
            self.loop.call_later(LIVE_KEPT_SECONDS, self.hub.forget_live, runner.live)
            self._said(runner.live)
            if runner.live.outcome is None:
                # It was stored elsewhere, or not at all, and nothing that was committed here told of it.
                self.hub.notify(reply.chat_id)
        self.run(next_reply)

    async def _hand_over(self, reply: Reply) -> None:
        try:
            await in_thread(
                handover.hand_over,
                tenant_id=reply.tenant_id,
                chat_id=reply.chat_id,
                reply_id=reply.id,
                epoch=reply.epoch,
            )
        except ApiError:
            logger.warning("reply %s could not be handed over; its lease will tell", reply.id)

    def _said(self, live: ReplyText) -> None:
        self.hub.said(live)
        if self._cluster is not None:
            self._cluster.said(live)

    # --- What happens elsewhere ---

    def _changed(self, chat_id: uuid.UUID, owner_asked: bool, snapshot: ChatSnapshot | None) -> None:
        """Something was committed, in whatever thread."""
        self._soon(self._take_note, chat_id, owner_asked, snapshot)

    def _take_note(self, chat_id: uuid.UUID, owner_asked: bool, snapshot: ChatSnapshot | None) -> None:
        self.hub.notify(chat_id, snapshot)
        if owner_asked:
            self._asked(chat_id)
        if self._cluster is not None:
            self._cluster.changed(chat_id, owner_asked=owner_asked)

    def _asked(self, chat_id: uuid.UUID) -> None:
        """The owner of the chat's running reply was asked for something."""
        if any(runner.reply.chat_id == chat_id for runner in self._runners.values()):
            self.spawn(self._reconcile_owned(), "requests")

    async def _reconcile_owned(self) -> None:
        # Where the database is away, the reconciler asks again.
        with contextlib.suppress(ApiError):
            await self._reconciler.reconcile_owned()


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
