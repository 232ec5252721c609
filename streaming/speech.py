"""What did the agent say, and what does it cost?"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Any

from django.conf import settings

from agents.catalog import agent_for
from agents.contract import Agent, End, Escalate, NoAnswer, Request, Source, Text, Usage
from agents.phrases import SAY
from agents.rules import escalation_by_failure, who_answers
from chats.ending import Outcome
from chats.history import Prepared
from chats.models import Reply
from lexicon import metrics, tracing
from streaming.live import LiveText
from streaming.pump import Pump


class Speech:
    """One try of a reply as its agent gives it."""

    def __init__(self, live: LiveText) -> None:
        self._live = live
        self._agent: Agent | None = None
        self._request: Request | None = None
        self._usage: Usage | None = None
        self._finish_reason = "stop"
        self._escalate: str | None = None
        self._answered = True
        #: How many characters it may still say.
        self._room = 0
        self._sources: list[Source] = []

    @tracing.spanned("model call")
    async def listen(self, prepared: Prepared, pump: Pump) -> None:
        """Give all the agent says to the pump, until it ends or the reply is as long as it may be.

        Raises what the agent raises.
        """
        self._agent = agent_for(who_answers(prepared.model, prepared.request))
        tracing.describe(model=self._agent.model)
        self._request = prepared.request
        self._room = prepared.reply_max_characters
        asked, spoke = time.monotonic(), False
        async with aclosing(self._agent.reply(prepared.request)) as events:
            async for event in events:
                match event:
                    case Text(text):
                        if not spoke:
                            metrics.FIRST_TOKEN_SECONDS.observe(time.monotonic() - asked)
                            spoke = True
                        if not self._say(text, pump):
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
            self._say(_farewell(spoke, prepared.request.policy.away_message), pump)

    def _say(self, text: str, pump: Pump) -> bool:
        """Give the text to the pump; whether there was room for all of it."""
        pump.add(text[: self._room])
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
        usage = self._usage_of(content)
        tokens = usage.input_tokens + usage.output_tokens
        metadata: dict[str, Any] = {
            "model": self._agent.model if self._agent else settings.AGENT_MODEL,
            "tokens_used": tokens,
        }
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
        # CONTRACT, guarantee 8: a reply that failed before its first token costs nothing.
        free = state == Reply.State.FAILED and not content
        if free:
            return Outcome(state, content, metadata, escalate=escalate)
        return Outcome(state, content, metadata, cost=tokens, escalate=escalate, usage=usage)

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


def _farewell(spoke: bool, away_message: str) -> str:
    """What is said at the end of a reply that calls a person, whoever's it is."""
    parts = [] if spoke else [SAY["hand_over"]]
    if away_message:
        parts.append(away_message)
    text = "\n\n".join(parts)
    return f"\n\n{text}" if spoke and text else text


def _source(source: Source) -> dict[str, str]:
    named = {"id": source.article_id, "title": source.title}
    return {**named, "url": source.url} if source.url else named
