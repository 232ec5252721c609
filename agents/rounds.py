"""How does one reply come out of a model that asks for tools, or fails and has a stand-in?

It passes on what its agent says, carries out what the agent asks for, and asks it again with what that gave. What
it gives is one reply: text, sources, one usage, and the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from agents.contract import (
    Agent,
    AgentFailure,
    End,
    Event,
    Exchange,
    Request,
    Text,
    ToolCall,
    Usage,
)
from agents.prompt_leaks import canary_of, gives_away
from agents.toolbox import TOOLS, Search, Toolbox

logger = logging.getLogger(__name__)

#: How often a model is asked for one reply; the last time without tools, so that it must answer.
MOST_ROUNDS = 4
#: Between what was said before a tool was asked for and what is said after it, where the model put nothing.
BREAK = "\n\n"


@dataclass(slots=True)
class _Round:
    """What the agent gave since it was last asked."""

    said: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    usage: Usage | None = None
    finish_reason: str = "stop"

    def takes(self, event: Event) -> bool:
        """Whether the event is for us, not for who reads the reply."""
        if isinstance(event, ToolCall):
            self.calls.append(event)
        elif isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, End):
            self.finish_reason = event.finish_reason
        else:
            return False
        return True


class Rounds:
    """One reply. Made anew for each; it is asked once.

    `fallback` answers where `agent` fails before its first word. `search` finds passages of the tenant whose chat
    this is. `seconds` is how long all rounds may take. `secret` is what canaries are made with; "" for none.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        search: Search,
        fallback: Agent | None = None,
        has_tools: bool = True,
        seconds: float = 600.0,
        secret: str = "",
    ) -> None:
        self._agent = agent
        self._fallback = fallback
        self._has_tools = has_tools
        self._seconds = seconds
        self._secret = secret
        self._request = Request("")
        self._round = _Round()
        #: Of the rounds that are over: what they cost, what of the reply they said, and how that ended.
        self._used = Usage(0, 0)
        self._spoken = 0
        self._ended_with_space = False
        self._toolbox = Toolbox(search)

    @property
    def model(self) -> str:
        """Who answers: the agent, or its stand-in since it failed."""
        return self._agent.model

    @property
    def is_model(self) -> bool:
        """Whether a model does."""
        return self._agent.is_model

    async def reply(self, request: Request) -> AsyncGenerator[Event, None]:
        """The events of the reply. Raises AgentFailure."""
        self._end = time.monotonic() + self._seconds
        self._begin(request)
        while True:
            now = self._round
            try:
                async with aclosing(self._agent.reply(self._request)) as events:
                    async for event in events:
                        if isinstance(event, Text):
                            if not now.said:
                                for first in self._before(event.text):
                                    yield first
                            now.said.append(event.text)
                            yield event
                        elif not now.takes(event):
                            yield event
            except AgentFailure as failure:
                if self._stands_in(request, failure):
                    continue
                if not self._is_enough(failure):
                    raise
            is_last = not now.calls or not self._request.tools or now.finish_reason == "content_filter"
            said = self._count(now)
            if is_last:
                break
            await self._carry_out(said, now.calls)
        for source in self._toolbox.new_sources():
            yield source
        yield self._used
        if self._toolbox.escalate is not None:
            yield self._toolbox.escalate
        yield End(now.finish_reason)

    def estimate(self, request: Request, said: str) -> Usage:
        """What was counted of the rounds that are over, and the agent's estimate of this one."""
        return _sum(self._used, self._agent.estimate(self._request, said[self._spoken :]))

    def flag(self, said: str) -> str | None:
        """What is wrong with the reply as a whole, for staff: "instructions" where it gives them away."""
        told = self._request
        leaks_them = self.is_model and gives_away(said, instructions=told.instructions, canary=told.canary)
        return "instructions" if leaks_them else None

    # --- Who answers ---

    def _begin(self, request: Request) -> None:
        self._toolbox.forget_sources()
        if self.is_model:
            request = replace(
                request,
                tools=TOOLS if self._has_tools else (),
                canary=canary_of(request.instructions, secret=self._secret) if self._secret else "",
            )
            self._toolbox.note([p for p in request.passages if p.score >= request.policy.answer_threshold])
        self._ask_with(request)

    def _ask_with(self, request: Request) -> None:
        """The next question to the agent, which has as long as is left."""
        seconds = max(0.001, self._end - time.monotonic())
        self._request = replace(request, limits=replace(request.limits, seconds=seconds))
        self._round = _Round()

    def _stands_in(self, request: Request, failure: AgentFailure) -> bool:
        """Whether the stand-in takes over: it begins anew, and nothing of what was is told."""
        if self._fallback is None or self._toolbox.escalate or self._round.said or self._spoken:
            return False
        logger.warning("%s failed before its first token, %s answers: %s", self.model, self._fallback.model, failure)
        self._agent, self._fallback = self._fallback, None
        self._used = Usage(0, 0)
        self._begin(request)
        return True

    def _is_enough(self, failure: AgentFailure) -> bool:
        """Whether the reply stands as it is although its last round failed."""
        if self._toolbox.escalate is not None:
            logger.warning("%s failed after it had asked for a person: %s", self.model, failure)
            return True
        return failure.reason == "silent" and self._spoken > 0

    # --- What is said besides ---

    def _before(self, text: str) -> list[Event]:
        """What comes before the first words of a round."""
        events: list[Event] = [*self._toolbox.new_sources()]
        if self._spoken and not (self._ended_with_space or text[:1].isspace()):
            self._spoken += len(BREAK)
            events.append(Text(BREAK))
        return events

    def _count(self, now: _Round) -> str:
        """The round is over: what it said."""
        said = "".join(now.said)
        self._used = _sum(self._used, now.usage or self._agent.estimate(self._request, said))
        self._spoken += len(said)
        if said:
            self._ended_with_space = said[-1].isspace()
        return said

    # --- Tools ---

    async def _carry_out(self, said: str, calls: list[ToolCall]) -> None:
        results = await self._toolbox.carry_out(calls)
        exchanges = (*self._request.exchanges, Exchange(said, tuple(calls), tuple(results)))
        tools = self._request.tools if len(exchanges) < MOST_ROUNDS - 1 else ()
        self._ask_with(replace(self._request, exchanges=exchanges, tools=tools))


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(one.input_tokens + other.input_tokens, one.output_tokens + other.output_tokens)
