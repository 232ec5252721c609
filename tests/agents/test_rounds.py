"""One reply out of a model that asks for tools, fails, or has a stand-in."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from agents.builtin.agent import BuiltinAgent
from agents.contract import (
    Agent,
    AgentFailure,
    End,
    Escalate,
    Event,
    Limits,
    Policy,
    Request,
    Source,
    Text,
    ToolCall,
    Usage,
)
from agents.providers.anthropic import AnthropicAgent
from agents.providers.deadline import Timeouts
from agents.providers.openai_compatible import OpenAICompatibleAgent
from agents.rounds import MOST_ROUNDS, Rounds
from core import client_sessions
from knowledge.excerpts import Passage
from tests.support.client import SOON, script
from tests.support.model_server import ModelServer

#: No database decides it.
pytestmark = pytest.mark.once

PATIENT = Timeouts(connect=SOON, first_token=SOON, gap=SOON, total=SOON)
LAMPS = Passage("1", "Lamps", "A lamp needs a bulb.", 0.5, "https://acme.example/lamps")
BULBS = Passage("2", "Bulbs", "A bulb lasts a year.", 0.1)
SOURCES = [Source("1", "Lamps", "https://acme.example/lamps"), Source("2", "Bulbs")]


@dataclass
class Scripted:
    """A model that gives one list of events for each time it is asked; a failure among them is raised."""

    rounds: Sequence[Sequence[Event | AgentFailure]]
    model: str = "scripted"
    is_model: bool = True
    asked: list[Request] = field(default_factory=list)
    closed: int = 0

    async def reply(self, request: Request) -> AsyncGenerator[Event, None]:
        self.asked.append(request)
        try:
            for event in self.rounds[len(self.asked) - 1]:
                if isinstance(event, AgentFailure):
                    raise event
                yield event
        finally:
            self.closed += 1

    def estimate(self, request: Request, said: str) -> Usage:
        return Usage(100, len(said))


@dataclass
class Knowledge:
    """What a search finds, and what was searched for."""

    found: Sequence[Passage] = ()
    asked: list[str] = field(default_factory=list)

    async def __call__(self, query: str) -> Sequence[Passage]:
        self.asked.append(query)
        return self.found


def call(name: str = "search_knowledge", call_id: str = "c", **arguments: Any) -> ToolCall:
    return ToolCall(call_id, name, json.dumps(arguments))


SEARCH = call(query="bulbs")
ESCALATE = call("escalate_to_human", reason=" Asked for a person. ")


async def hear(rounds: Rounds, request: Request | None = None) -> tuple[str, list[Event]]:
    """The text, and the other events."""
    async with aclosing(rounds.reply(request or Request("q"))) as events:
        heard = [event async for event in events]
    return "".join(event.text for event in heard if isinstance(event, Text)), [
        event for event in heard if not isinstance(event, Text)
    ]


def rounds_of(agent: Agent, search: Knowledge | None = None, **options: Any) -> Rounds:
    return Rounds(agent, search=search or Knowledge(), **options)


# --- Without tools ---


async def test_a_reply_without_tools_is_what_the_agent_gives() -> None:
    agent = Scripted([[Text("Hello "), Text("there"), Usage(7, 2), End("length")]])
    assert await hear(rounds_of(agent)) == ("Hello there", [Usage(7, 2), End("length")])


async def test_an_agent_that_counts_nothing_is_estimated() -> None:
    assert (await hear(rounds_of(Scripted([[Text("Hello")]]))))[1] == [Usage(100, 5), End()]


async def test_what_the_built_in_agent_tells_is_passed_on_and_it_has_no_tools() -> None:
    agent = Scripted([[SOURCES[0], Text("Hello"), Usage(1, 1), Escalate("asked"), End()]], is_model=False)
    request = Request("q", passages=(BULBS,))
    assert (await hear(rounds_of(agent), request))[1] == [SOURCES[0], Escalate("asked"), Usage(1, 1), End()]
    assert (agent.asked[0].tools, agent.asked[0].canary) == ((), "")


async def test_passages_that_are_an_answer_are_the_sources_of_a_model() -> None:
    request = Request("q", passages=(LAMPS, BULBS), policy=Policy(answer_threshold=0.2))
    agent = Scripted([[Text("Hello"), Usage(1, 1)]])
    assert (await hear(rounds_of(agent), request))[1] == [SOURCES[0], Usage(1, 1), End()]
    assert agent.asked[0].passages == (LAMPS, BULBS)


async def test_closing_the_reply_closes_the_agent() -> None:
    agent = Scripted([[Text("Hello "), Text("there")]])
    events = rounds_of(agent).reply(Request("q"))
    assert await anext(events) == Text("Hello ")
    await events.aclose()
    assert agent.closed == 1


# --- Tools ---


async def test_a_model_that_searches_is_asked_again_with_what_was_found() -> None:
    agent = Scripted([[SEARCH, Usage(10, 3)], [Text("A year."), Usage(20, 4)]])
    knowledge = Knowledge([LAMPS, BULBS])
    said, others = await hear(rounds_of(agent, knowledge))
    assert (said, others) == ("A year.", [*SOURCES, Usage(30, 7), End()])
    assert knowledge.asked == ["bulbs"]
    [exchange] = agent.asked[1].exchanges
    assert (exchange.said, exchange.calls) == ("", (SEARCH,))
    assert json.loads(exchange.results[0]) == [
        {"article": "Lamps", "passage": "A lamp needs a bulb."},
        {"article": "Bulbs", "passage": "A bulb lasts a year."},
    ]


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("Let me look.", "A year.", "Let me look.\n\nA year."),
        ("It lasts ", "a year.", "It lasts a year."),
        ("It lasts", " a year.", "It lasts a year."),
    ],
)
async def test_a_tool_in_the_middle_of_text_leaves_one_reply(before: str, after: str, whole: str) -> None:
    agent = Scripted([[Text(before), SEARCH, Usage(1, 1)], [Text(after), Usage(1, 1)]])
    said, others = await hear(rounds_of(agent))
    assert (said, others) == (whole, [Usage(2, 2), End()])
    assert agent.asked[1].exchanges[0].said == before


async def test_tools_that_are_asked_for_at_once_are_each_answered_in_order() -> None:
    calls = [call(call_id="a", query="one"), ESCALATE, call(call_id="b", query="two")]
    agent = Scripted([[*calls, Usage(1, 1)], [Text("Done."), Usage(1, 1)]])
    knowledge = Knowledge([LAMPS])
    _, others = await hear(rounds_of(agent, knowledge))
    assert knowledge.asked == ["one", "two"]
    [exchange] = agent.asked[1].exchanges
    assert exchange.calls == tuple(calls)
    assert [result[:10] for result in exchange.results] == ['[{"article', "A person t", '[{"article']
    assert others == [SOURCES[0], Usage(2, 2), Escalate("Asked for a person."), End()]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (call("delete_everything", query="x"), "no such tool"),
        (ToolCall("c", "search_knowledge", "{broken"), "not a JSON object"),
        (ToolCall("c", "search_knowledge", ""), "not a JSON object"),
        (ToolCall("c", "search_knowledge", "[]"), "not a JSON object"),
        (ToolCall("c", "search_knowledge", '{"query": "\\ud800"}'), "not a JSON object"),
        (call(), "query must be a text"),
        (call(query=7), "query must be a text"),
        (call(query="  "), "query must be a text"),
        (call(query="x" * 1001), "at most 1000"),
        (call(query="a\0b"), "NUL"),
        (call(query="x", tenant_id="globex"), "no argument 'tenant_id'"),
        (call("escalate_to_human", reason="x" * 501), "at most 500"),
    ],
    ids=lambda value: value.arguments[:40] if isinstance(value, ToolCall) else None,
)
async def test_a_tool_that_is_misused_tells_the_model_so_and_does_nothing(asked: ToolCall, told: str) -> None:
    agent = Scripted([[asked, Usage(1, 1)], [Text("Sorry."), Usage(1, 1)]])
    knowledge = Knowledge([LAMPS])
    said, others = await hear(rounds_of(agent, knowledge))
    assert (said, others, knowledge.asked) == ("Sorry.", [Usage(2, 2), End()], [])
    assert told in agent.asked[1].exchanges[0].results[0]


async def test_the_last_round_has_no_tools_and_what_it_asks_for_is_not_done() -> None:
    agent = Scripted([[SEARCH, Usage(1, 1)]] * MOST_ROUNDS)
    knowledge = Knowledge()
    assert (await hear(rounds_of(agent, knowledge)))[1] == [Usage(MOST_ROUNDS, MOST_ROUNDS), End()]
    assert [bool(request.tools) for request in agent.asked] == [*[True] * (MOST_ROUNDS - 1), False]
    assert len(knowledge.asked) == MOST_ROUNDS - 1


async def test_what_a_filter_cut_is_carried_out_no_more() -> None:
    knowledge = Knowledge()
    agent = Scripted([[Text("I can"), SEARCH, Usage(1, 1), End("content_filter")]])
    assert (await hear(rounds_of(agent, knowledge)))[1] == [Usage(1, 1), End("content_filter")]
    assert knowledge.asked == []


async def test_tools_can_be_switched_off() -> None:
    agent = Scripted([[Text("Hello"), Usage(1, 1)]])
    await hear(rounds_of(agent, has_tools=False))
    assert agent.asked[0].tools == ()


async def test_all_rounds_together_have_the_time_of_one_reply() -> None:
    agent = Scripted([[SEARCH, Usage(1, 1)], [Text("Hello"), Usage(1, 1)]])
    await hear(rounds_of(agent, seconds=5), Request("q", limits=Limits(history_tokens=7)))
    first, second = (request.limits for request in agent.asked)
    assert first.history_tokens == second.history_tokens == 7
    assert first.seconds is not None
    assert second.seconds is not None
    assert 0 < second.seconds <= first.seconds <= 5


async def test_a_model_that_has_nothing_to_add_to_what_it_said_has_ended() -> None:
    agent = Scripted([[Text("Here."), SEARCH, Usage(1, 1)], [AgentFailure("silent", reason="silent")]])
    assert await hear(rounds_of(agent)) == ("Here.", [Usage(101, 1), End()])


async def test_a_model_that_fails_after_a_tool_is_a_failure() -> None:
    agent = Scripted([[Text("Here."), SEARCH, Usage(1, 1)], [AgentFailure("gone")]])
    with pytest.raises(AgentFailure):
        await hear(rounds_of(agent))


async def test_a_stopped_reply_costs_the_rounds_that_are_over_and_what_was_said_since() -> None:
    agent = Scripted([[Text("One."), SEARCH, Usage(10, 3)], [Text("Two."), Text("Three.")]])
    rounds = rounds_of(agent)
    said = ""
    async with aclosing(rounds.reply(Request("q"))) as events:
        async for event in events:
            said += event.text if isinstance(event, Text) else ""
            if said.endswith("Two."):
                break
    assert said == "One.\n\nTwo."
    assert rounds.estimate(Request("q"), said) == Usage(110, 3 + 4)


# --- Handing over ---


async def test_a_model_that_hands_over_says_so_and_then_the_reply_ends() -> None:
    agent = Scripted([[ESCALATE, Usage(1, 1)], [Text("Sam will help."), Usage(1, 1)]])
    assert await hear(rounds_of(agent)) == (
        "Sam will help.",
        [Usage(2, 2), Escalate("Asked for a person."), End()],
    )


@pytest.mark.parametrize("reason", ["silent", "connection"])
async def test_a_model_that_fails_after_it_handed_over_has_handed_over(reason: str) -> None:
    agent = Scripted([[ESCALATE, Usage(1, 1)], [AgentFailure("gone", reason=reason)]])
    _, others = await hear(rounds_of(agent))
    assert others[-2:] == [Escalate("Asked for a person."), End()]


# --- A stand-in ---

GONE = AgentFailure("it answered with status 503", reason="status")


async def test_a_stand_in_answers_for_a_model_that_fails_before_its_first_token() -> None:
    first, second = Scripted([[GONE]]), Scripted([[Text("Hello"), Usage(1, 1)]], model="other")
    rounds = rounds_of(first, fallback=second)
    assert await hear(rounds, Request("q")) == ("Hello", [Usage(1, 1), End()])
    assert rounds.model == "other"


async def test_the_built_in_agent_can_stand_in_and_names_its_own_sources() -> None:
    rounds = rounds_of(Scripted([[GONE]]), fallback=BuiltinAgent(words_per_second=0))
    said, others = await hear(rounds, Request("What does a lamp need?", passages=(LAMPS,)))
    assert "A lamp needs a bulb." in said
    assert [event for event in others if isinstance(event, Source)] == [SOURCES[0]]
    assert rounds.model == "builtin"


async def test_a_stand_in_begins_anew() -> None:
    first = Scripted([[SEARCH, Usage(50, 50)], [GONE]])
    second = Scripted([[Text("Hello"), Usage(1, 1)]], model="other")
    knowledge = Knowledge([LAMPS])
    assert (await hear(rounds_of(first, knowledge, fallback=second)))[1] == [Usage(1, 1), End()]
    assert second.asked[0].exchanges == ()


async def test_nobody_stands_in_once_something_was_said() -> None:
    first = Scripted([[Text("He"), GONE]])
    second = Scripted([[Text("Hello")]], model="other")
    with pytest.raises(AgentFailure):
        await hear(rounds_of(first, fallback=second))
    assert second.asked == []


async def test_a_stand_in_that_fails_is_a_failure() -> None:
    with pytest.raises(AgentFailure):
        await hear(rounds_of(Scripted([[GONE]]), fallback=Scripted([[GONE]])))


# --- Giving instructions away ---

INSTRUCTIONS = "You are the assistant of Acme. " + " ".join(f"Rule {n}: never speak of {n}." for n in range(40))


async def test_a_model_that_says_its_canary_is_flagged() -> None:
    agent = Scripted([[Text("Hello"), Usage(1, 1)]])
    rounds = rounds_of(agent, secret="s")
    await hear(rounds, Request("q", instructions=INSTRUCTIONS))
    canary = agent.asked[0].canary
    assert canary
    assert rounds.flag(f"It says {canary}.") == "instructions"
    assert rounds.flag("Hello") is None


async def test_a_model_that_says_its_instructions_is_flagged_and_the_built_in_agent_never() -> None:
    for is_model, flag in ((True, "instructions"), (False, None)):
        rounds = rounds_of(Scripted([[Text("Hello"), Usage(1, 1)]], is_model=is_model), secret="s")
        await hear(rounds, Request("q", instructions=INSTRUCTIONS))
        assert rounds.flag(f"Sure: {INSTRUCTIONS}") == flag


# --- Over the wires ---


@pytest.mark.parametrize("wire", [OpenAICompatibleAgent, AnthropicAgent])
async def test_both_wires_go_through_rounds_alike(model: ModelServer, wire: type[Any]) -> None:
    url = model.anthropic_url if wire is AnthropicAgent else model.base_url
    agent = wire(name="m", base_url=url, api_key="k", timeouts=PATIENT)
    asks = [[["search_knowledge", {"query": "bulbs"}], ["search_knowledge", {"query": "lamps"}]], [["nonsense", "{"]]]
    question = script(say="A year.", calls=asks, before=["Let me look. "], usage=[10, 5])
    knowledge = Knowledge([BULBS])
    said, others = await hear(rounds_of(agent, knowledge), Request(question))
    assert said == "Let me look. A year."
    assert others == [SOURCES[1], Usage(30, 15), End()]
    assert knowledge.asked == ["bulbs", "lamps"]
    assert model.report()["count"] == 3
    assert "There is no such tool" in json.dumps(model.report()["calls"][2]["messages"])
    await client_sessions.close()
