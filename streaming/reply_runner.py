"""How does the owner of a reply write it, from the question to the end in the history?"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace

from agents.contract import AgentFailure
from chats.agent_context import build_context_of
from chats.models import Reply
from chats.replies import recovery
from chats.replies.ending import Ended, Outcome, end_reply
from core.db.executor import in_thread_until_answered
from core.observability import logs, metrics, tracing
from knowledge import retrieval
from streaming.coalescer import Coalescer
from streaming.heartbeat import Lease
from streaming.reply_collector import ReplyCollector
from streaming.reply_text import ReplyText

logger = logging.getLogger(__name__)


class Fenced(Exception):
    """Somebody else owns the reply by now."""


class ReplyRunner:
    """One try of one reply, in the process that owns it."""

    def __init__(
        self,
        *,
        reply: Reply,
        process_id: uuid.UUID,
        lease: Lease,
        live: ReplyText,
        said: Callable[[ReplyText], None],
        claims_for: Callable[[], uuid.UUID | None],
    ) -> None:
        self.reply = reply
        self.live = live
        #: How many pieces checkpoints have.
        self.kept = 0
        self._process_id = process_id
        self._lease = lease
        self._lapses = lease.lapses
        self._said = said
        #: For whom the chat's next reply is claimed when this one has ended.
        self._claims_for = claims_for
        self._work: asyncio.Task[None] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Say no more, and end the reply with what was said. Twice is once."""
        self._stopped = True
        if self._work is not None:
            self._work.cancel()

    @tracing.spanned("reply")
    async def run(self) -> Reply | None:
        """Write the reply and store its end; the reply this process writes next in the chat, if any.

        However long the database is away: a reply does not fail of that.

        Cancelled, it leaves the reply as it is, for the caller to hand over.
        """
        reply = self.reply
        logs.begin(tenant_id=reply.tenant_id, chat_id=reply.chat_id, reply_id=reply.id)
        stored: Outcome | None = None
        try:
            outcome = await self._find_outcome()
            try:
                ended = await self._end(outcome)
            except Exception:
                # What can not be stored would be written again and again: it ends as failed, with nothing said.
                logger.exception("reply %s can not be stored", reply.id)
                outcome = Outcome(Reply.State.FAILED, "", {**outcome.metadata, "tokens_used": 0, "failed": True})
                ended = await self._end(outcome)
            if not ended.is_owned:
                raise Fenced
            tracing.describe(state=str(outcome.state), tokens=outcome.cost, model=outcome.metadata.get("model"))
            if ended.status is not None:
                stored = outcome
            return ended.next_reply
        except Fenced:
            logger.warning("reply %s is somebody else's by now (epoch %d was fenced)", reply.id, reply.epoch)
            return None
        finally:
            self.live.close(stored)

    async def _find_outcome(self) -> Outcome:
        collector = ReplyCollector(self.live)
        self._work = asyncio.create_task(self._speak(collector), name=f"agent of reply {self.reply.id}")
        if self._stopped:
            self._work.cancel()
        try:
            await self._work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._stopped or (task is not None and task.cancelling()):
                raise
            return collector.outcome(Reply.State.STOPPED)
        except Fenced:
            raise
        except AgentFailure as failure:
            metrics.MODEL_ERRORS.labels(failure.reason).inc()
            logger.warning("reply %s: the model failed: %s", self.reply.id, failure)
            return collector.outcome(Reply.State.FAILED)
        except Exception:
            metrics.MODEL_ERRORS.labels("internal").inc()
            logger.exception("reply %s failed", self.reply.id)
            return collector.outcome(Reply.State.FAILED)
        if collector.is_silent:
            metrics.MODEL_ERRORS.labels("silent").inc()
            logger.warning("reply %s: the agent said nothing", self.reply.id)
            return collector.outcome(Reply.State.FAILED)
        return collector.outcome(Reply.State.DONE)

    async def _speak(self, collector: ReplyCollector) -> None:
        tenant_id = self.reply.tenant_id
        context = await in_thread_until_answered(build_context_of, self.reply)
        if context is None:
            raise Fenced
        if context.search:
            found = await retrieval.find(tenant_id=tenant_id, question=context.search)
            context = replace(context, request=replace(context.request, passages=tuple(found)))
        coalescer = Coalescer(self._push, may_push=self._may_push, regain=self._reclaim)
        coalescing = asyncio.create_task(coalescer.run(), name=f"pieces of reply {self.reply.id}")
        try:
            try:
                await collector.listen(context, coalescer)
            finally:
                # What a model said before it failed is kept, too.
                coalescer.complete()
            await coalescing
        except asyncio.CancelledError:
            coalescing.cancel()
            raise
        finally:
            try:
                await asyncio.wait([coalescing])
            except asyncio.CancelledError:
                # What waits for the lease is not said any more.
                coalescing.cancel()
                raise

    def _may_push(self) -> bool:
        return self._lease.holds() and self._lease.lapses == self._lapses

    def _push(self, piece: str) -> None:
        self.live.append(piece)
        self._said(self.live)

    async def _reclaim(self) -> None:
        """The lease ran out. Go on only once it is renewed and nobody took the reply meanwhile."""
        await self._lease.renewed()
        lapses = self._lease.lapses
        reply = self.reply
        if not await in_thread_until_answered(
            recovery.still_owns,
            tenant_id=reply.tenant_id,
            reply_id=reply.id,
            epoch=reply.epoch,
            process_id=self._process_id,
        ):
            raise Fenced
        self._lapses = lapses

    async def _end(self, outcome: Outcome) -> Ended:
        reply = self.reply
        return await in_thread_until_answered(
            end_reply,
            tenant_id=reply.tenant_id,
            reply_id=reply.id,
            epoch=reply.epoch,
            outcome=outcome,
            process_id=self._claims_for(),
        )
