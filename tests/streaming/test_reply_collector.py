"""What becomes of a reply that calls a person, whoever's it is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator

import pytest

from agents.builtin.phrases import SAY
from agents.catalog import NO_CREDENTIALS
from agents.contract import AgentFailure, End, Escalate, Event, Policy, Request, Text, Usage
from agents.rounds import Rounds
from chats.agent_context import AgentContext
from chats.models import Reply
from chats.replies.ending import Outcome
from streaming import reply_collector
from streaming.coalescer import Coalescer
from streaming.reply_collector import ReplyCollector
from streaming.reply_text import ReplyText

AWAY = "We are back at nine."


class Saying:
    """A model that gives these events, and then fails where it is told to."""

    model = "a-model"
    is_model = False

    def __init__(self, *events: Event, fails: bool = False) -> None:
        self._events = events
        self._fails = fails

    async def reply(self, request: Request) -> AsyncGenerator[Event, None]:
        for event in self._events:
            yield event
        if self._fails:
            raise AgentFailure("the connection was cut")

    def estimate(self, request: Request, said: str) -> Usage:
        return Usage(0, len(said))


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """What becomes of a reply that a model gives: `await speak(Text("hello"), away=AWAY)`."""

    async def run(
        *events: Event, fails: bool = False, state: str = "", away: str = AWAY, room: int = 1000, unanswered: int = 0
    ) -> Outcome:
        saying = Saying(*events, fails=fails)
        monkeypatch.setattr(reply_collector, "rounds_for", lambda model, own, *, search: Rounds(saying, search=search))
        live = ReplyText(uuid.uuid4(), uuid.uuid4(), 1)

        def push(piece: str) -> None:
            live.append(piece)

        collector, coalescer = ReplyCollector(live), Coalescer(push)
        coalescing = asyncio.create_task(coalescer.run())
        request = Request("a question", policy=Policy(away_message=away), unanswered=unanswered)
        ended = Reply.State.DONE
        try:
            await collector.listen(AgentContext(uuid.uuid4(), "openai:x", NO_CREDENTIALS, request, room), coalescer)
        except AgentFailure:
            ended = Reply.State.FAILED
        coalescer.complete()
        await coalescing
        return collector.outcome(state or ended)

    return run


async def test_the_away_message_is_the_last_that_is_said(speak) -> None:  # type: ignore[no-untyped-def]
    outcome = await speak(Text("Let me "), Escalate("a bug"), Text("ask."), End())
    assert (outcome.content, outcome.escalate) == (f"Let me ask.\n\n{AWAY}", "a bug")
    assert outcome.metadata["escalated"] is True


async def test_a_model_that_calls_a_person_without_a_word_says_the_hand_over(speak) -> None:  # type: ignore[no-untyped-def]
    assert (await speak(Escalate("a bug"), away="")).content == SAY["hand_over"]
    assert (await speak(Escalate("a bug"))).content == f"{SAY['hand_over']}\n\n{AWAY}"


async def test_where_nobody_is_away_a_model_says_what_it_says(speak) -> None:  # type: ignore[no-untyped-def]
    assert (await speak(Text("One moment."), Escalate("a bug"), away="")).content == "One moment."


async def test_who_calls_nobody_says_nothing_of_it(speak) -> None:  # type: ignore[no-untyped-def]
    outcome = await speak(Text("One moment."), unanswered=99)
    assert (outcome.content, outcome.escalate) == ("One moment.", None)


async def test_a_model_that_called_a_person_and_then_failed_has_called_one(speak) -> None:  # type: ignore[no-untyped-def]
    outcome = await speak(Text("Let me "), Escalate("a bug"), fails=True)
    assert (outcome.state, outcome.content, outcome.escalate) == (Reply.State.FAILED, "Let me ", "a bug")


@pytest.mark.parametrize(("unanswered", "reason"), [(1, None), (2, "3 replies in a row without an answer.")])
async def test_a_failure_too_many_calls_a_person(speak, unanswered: int, reason: str | None) -> None:  # type: ignore[no-untyped-def]
    outcome = await speak(fails=True, unanswered=unanswered)
    assert (outcome.escalate, outcome.content, outcome.cost) == (reason, "", 0)
    assert outcome.metadata.get("escalated") is (True if reason else None)


async def test_a_reply_that_is_stopped_calls_nobody(speak) -> None:  # type: ignore[no-untyped-def]
    outcome = await speak(Text("Let me "), Escalate("a bug"), state=Reply.State.STOPPED)
    assert outcome.escalate is None
    assert "escalated" not in outcome.metadata


@pytest.mark.parametrize("room", [0, 3, 20])
async def test_no_reply_is_longer_than_it_may_be(speak, room: int) -> None:  # type: ignore[no-untyped-def]
    outcome = await speak(Text("Hi."[:room]), Escalate("a bug"), room=room)
    assert outcome.content == f"Hi.\n\n{AWAY}"[:room]
    assert outcome.metadata["finish_reason"] == "length"
