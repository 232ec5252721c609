"""What the OpenAI-compatible agent asks, and what only its wire knows."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from agents.contract import End, Event, Exchange, Limits, Request, Text, ToolCall, Turn
from agents.providers.deadline import Timeouts
from agents.providers.openai_compatible import OpenAICompatibleAgent
from agents.toolbox import TOOLS
from knowledge.excerpts import Passage
from tests.support.client import SOON, script
from tests.support.model_server import ModelServer

#: No database decides it.
pytestmark = pytest.mark.once

KEY = "sk-canary-of-the-key"
PATIENT = Timeouts(connect=SOON, first_token=SOON, gap=SOON, total=SOON)


def agent_of(server: ModelServer, timeouts: Timeouts = PATIENT, name: str = "m") -> OpenAICompatibleAgent:
    return OpenAICompatibleAgent(name=name, base_url=server.base_url, api_key=KEY, timeouts=timeouts, retries=0)


async def hear(agent: OpenAICompatibleAgent, request: Request) -> list[Event]:
    async with aclosing(agent.reply(request)) as events:
        return [event async for event in events]


async def asked(model: ModelServer, request: Request) -> dict[str, Any]:
    """What the model was asked."""
    assert (await hear(agent_of(model), request))[-1] == End("stop")
    return model.report()["calls"][0]


async def test_the_request_is_what_the_protocol_asks_for(model: ModelServer) -> None:
    request = Request(
        "three",
        instructions="Be kind.",
        history=(Turn("user", "one"), Turn("assistant", "two")),
        passages=(Passage("1", "Lamps", "A lamp needs a bulb.", 0.5),),
    )
    async with aclosing(agent_of(model, name="org/model:free").reply(request)) as events:
        assert [event async for event in events][-1] == End("stop")
    [call] = model.report()["calls"]
    assert call["model"] == "org/model:free"
    assert (call["stream"], call["stream_options"]) == (True, {"include_usage": True})
    assert call["authorization"] == f"Bearer {KEY}"
    assert [message["role"] for message in call["messages"]] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in call["messages"]][1:] == ["one", "two", "three"]
    assert "A lamp needs a bulb." in call["messages"][0]["content"]


async def test_a_reply_is_as_long_as_it_may_be(model: ModelServer) -> None:
    call = await asked(model, Request("one", limits=Limits(output_tokens=70)))
    assert call["max_tokens"] == 70
    assert "tools" not in call


@pytest.mark.parametrize("host", ["api.openai.com", "acme.openai.azure.com"])
def test_openai_itself_has_another_name_for_that(host: str) -> None:
    agent = OpenAICompatibleAgent(name="m", base_url=f"https://{host}/v1", api_key=KEY, timeouts=PATIENT)
    body = agent.body(Request("one", limits=Limits(output_tokens=70)))
    assert (body["max_completion_tokens"], "max_tokens" in body) == (70, False)


async def test_tools_and_what_they_gave_are_put_as_the_protocol_asks(model: ModelServer) -> None:
    calls = (ToolCall("1", "search_knowledge", '{"query": "x"}'), ToolCall("2", "search_knowledge", "{broken"))
    exchange = Exchange("Let me look.", calls, ("[]", "The arguments are not a JSON object."))
    call = await asked(model, Request("one", tools=TOOLS, exchanges=(exchange,)))
    assert [tool["function"]["name"] for tool in call["tools"]] == ["search_knowledge", "escalate_to_human"]
    said, *given = call["messages"][-3:]
    assert (said["role"], said["content"]) == ("assistant", "Let me look.")
    assert [asked["function"]["arguments"] for asked in said["tool_calls"]] == ['{"query": "x"}', "{}"]
    assert [(each["role"], each["tool_call_id"]) for each in given] == [("tool", "1"), ("tool", "2")]
    assert given[0]["content"] == "[]"


@pytest.mark.parametrize(
    "chunks",
    [
        # As OpenAI streams them, woven together.
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}],
            [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}],
            [{"index": 0, "function": {"arguments": "{1"}}],
            [{"index": 1, "function": {"arguments": "{2}"}}],
            [{"index": 0, "function": {"arguments": "}"}}],
        ],
        # With the name and the id again and again.
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{1"}}],
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}],
            [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{2}"}}],
        ],
        # All with one index.
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{1}"}}],
            [{"index": 0, "id": "b", "function": {"name": "g", "arguments": "{2}"}}],
        ],
        # At once, and without any.
        [
            [
                {"id": "a", "function": {"name": "f", "arguments": "{1}"}},
                {"id": "b", "function": {"name": "g", "arguments": "{2}"}},
            ]
        ],
    ],
)
async def test_every_way_of_asking_for_tools_is_understood(model: ModelServer, chunks: list[Any]) -> None:
    raw = [{"choices": [{"delta": {"tool_calls": calls}}]} for calls in chunks]
    raw.append({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    heard = await hear(agent_of(model), Request(script(raw=[f"data: {json.dumps(chunk)}\n\n" for chunk in raw])))
    assert heard == [ToolCall("a", "f", "{1}"), ToolCall("b", "g", "{2}"), End("stop")]


async def test_a_refusal_in_a_field_of_its_own_is_said(model: ModelServer) -> None:
    chunk = {"choices": [{"delta": {"content": None, "refusal": "I can not."}, "finish_reason": "stop"}]}
    heard = await hear(agent_of(model), Request(script(raw=[f"data: {json.dumps(chunk)}\n\n"])))
    assert heard == [Text("I can not."), End("stop")]


async def test_lines_may_end_with_crlf_and_hold_comments(model: ModelServer) -> None:
    chunk = json.dumps({"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]})
    raw = [": processing\r\n\r\n", f"data:{chunk[:10]}", f"{chunk[10:]}\r\n\r", "\n"]
    assert await hear(agent_of(model), Request(script(raw=raw))) == [Text("Hello"), End("stop")]


async def test_a_model_that_thinks_aloud_is_not_silent(model: ModelServer) -> None:
    thought = 'data: {"choices": [{"delta": {"reasoning_content": "Hm."}}]}\n\n'
    end = 'data: {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}\n\n'
    timeouts = replace(PATIENT, first_token=1.0)
    heard = await hear(agent_of(model, timeouts), Request(script(raw=[*[thought] * 12, end], every_ms=110)))
    assert heard == [Text("Hello"), End("stop")]
