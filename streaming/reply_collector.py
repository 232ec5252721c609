"""What did the agent say, and what does it cost?"""

from __future__ import annotations

import logging
import time
from contextlib import aclosing
from typing import Any

from django.conf import settings

from agents.builtin.phrases import SAY
from agents.catalog import rounds_for
from agents.contract import End, Escalate, NoAnswer, Request, Source, Text, Usage
from agents.rounds import Rounds
from agents.rules import escalation_by_failure, who_answers
from chats.agent_context import AgentContext
from chats.models import Reply
from chats.replies.ending import NOTHING_USED, Outcome
from core.observability import metrics, tracing
from knowledge import retrieval
from knowledge.excerpts import Passage
from streaming.coalescer import Coalescer
from streaming.reply_text import ReplyText

logger = logging.getLogger(__name__)


class ReplyCollector:
    """One try of a reply as its agent gives it."""

    def __init__(self, live: ReplyText) -> None:
        self._live = live
        self._model = settings.AGENT_MODEL
        self._agent: Rounds | None = None
        self._request: Request | None = None
        #: On the monotonic clock: when the agent was asked, and when its first words came.
        self._asked = self._spoke = 0.0
        self._usage: Usage | None = None
        self._finish_reason = "stop"
        self._escalate: str | None = None
        self._answered = True
        #: How many characters it may still say.
        self._room = 0
        self._sources: list[Source] = []

    @tracing.spanned("model call")
    async def listen(self, context: AgentContext, coalescer: Coalescer) -> None:
        """Give all the agent says to the coalescer, until it ends or the reply is as long as it may be.

        Raises what the agent raises.
        """

        async def search(query: str) -> list[Passage]:
            # Whose knowledge that is says the server, never the model.
            return await retrieval.find(tenant_id=context.tenant_id, question=query)

        self._model, self._request = context.model, context.request
        self._asked = time.monotonic()
        self._agent = rounds_for(who_answers(context.model, context.request), context.own, search=search)
        tracing.describe(model=self._agent.model)
        self._room = context.reply_max_characters
        async with aclosing(self._agent.reply(context.request)) as events:
            async for event in events:
                match event:
                    case Text(text):
                        if not self._spoke:
                            self._note_first_words(self._agent.model)
                        if not self._say(text, coalescer):
                            return
                    case Source():
                        self._sources.append(event)
                    case Usage():
                        self._usage = event
                    case Escalate(reason):
                        self._escalate = reason
                    case NoAnswer():
                        self._answered = False
                    case End(finish_reason):
                        self._finish_reason = finish_reason
                        break
        if self._escalate is not None:
            self._say(_farewell(bool(self._spoke), context.request.policy.away_message), coalescer)

    def _say(self, text: str, coalescer: Coalescer) -> bool:
        """Give the text to the coalescer; whether there was room for all of it."""
        coalescer.add(text[: self._room])
        self._room -= len(text)
        if self._room < 0:
            self._finish_reason = "length"
        return self._room >= 0

    @property
    def is_silent(self) -> bool:
        """Whether it ended without a word and without asking for a person."""
        return not self._live.pieces and self._escalate is None

    def outcome(self, state: str) -> Outcome:
        """What became of the reply that ended in this state, with all that was pushed of it."""
        content = self._live.text
        # CONTRACT, guarantee 8: a reply that failed before its first token costs nothing.
        is_free = state == Reply.State.FAILED and not content
        usage = NOTHING_USED if is_free else self._usage_of(content)
        tokens = usage.input_tokens + usage.output_tokens
        metadata: dict[str, Any] = {
            "model": self._agent.model if self._agent else self._model,
            "tokens_used": tokens,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            **self._latency(),
        }
        if self._agent and (flag := self._agent.flag(content)):
            metrics.FLAGGED.labels(flag).inc()
            logger.warning("a reply of %s is flagged: %s", self._agent.model, flag)
            metadata["flagged"] = flag
        escalate = self._escalate_after(state)
        if self._finish_reason != "stop":
            metadata["finish_reason"] = self._finish_reason
        if state != Reply.State.DONE:
            metadata[str(state)] = True
        if not self._answered:
            metadata["answered"] = False
        if escalate is not None:
            metadata["escalated"] = True
        if self._sources:
            metadata["sources"] = [_source(source) for source in self._sources]
        return Outcome(state, content, metadata, cost=tokens, escalate=escalate, usage=usage)

    def _note_first_words(self, model: str) -> None:
        self._spoke = time.monotonic()
        metrics.FIRST_TOKEN_SECONDS.labels(model.partition(":")[0]).observe(self._spoke - self._asked)

    def _latency(self) -> dict[str, int]:
        """How long the agent took, in milliseconds: to its first words, where there were any, and in all."""
        if not self._asked:
            return {}
        total = {"total_ms": _milliseconds(time.monotonic() - self._asked)}
        return {"first_token_ms": _milliseconds(self._spoke - self._asked), **total} if self._spoke else total

    def _escalate_after(self, state: str) -> str | None:
        """Why a person should take over once the reply has ended in this state: not where it was stopped."""
        if state == Reply.State.STOPPED or self._request is None:
            return None
        if self._escalate is None and state == Reply.State.FAILED:
            request = self._request
            return escalation_by_failure(unanswered=request.unanswered, after=request.policy.escalation_after)
        return self._escalate

    def _usage_of(self, content: str) -> Usage:
        if self._usage is not None:
            return self._usage
        if self._agent is None or self._request is None:
            return Usage(0, 0)
        return self._agent.estimate(self._request, content)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _farewell(spoke: bool, away_message: str) -> str:
    """What is said at the end of a reply that calls a person, by any agent."""
    parts = [] if spoke else [SAY["hand_over"]]
    if away_message:
        parts.append(away_message)
    text = "\n\n".join(parts)
    return f"\n\n{text}" if spoke and text else text


def _source(source: Source) -> dict[str, str]:
    named = {"id": source.article_id, "title": source.title}
    return {**named, "url": source.url} if source.url else named
