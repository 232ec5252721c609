"""What the Anthropic agent asks, and what only its wire knows."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import pytest

from agents.contract import End, Exchange, Limits, Request, ToolCall, Turn, Usage
from agents.providers.anthropic import OUTPUT_TOKENS, AnthropicAgent, Message
from agents.providers.deadline import Timeouts
from agents.toolbox import TOOLS
from knowledge.excerpts import Passage
from tests.support.client import SOON
from tests.support.model_server import ModelServer

#: No database decides it.
pytestmark = pytest.mark.once

KEY = "sk-ant-canary-of-the-key"
PATIENT = Timeouts(connect=SOON, first_token=SOON, gap=SOON, total=SOON)


async def asked(model: ModelServer, request: Request) -> dict[str, Any]:
    """What the model was asked. The server refuses what Anthropic would."""
    agent = AnthropicAgent(name="claude", base_url=model.anthropic_url, api_key=KEY, timeouts=PATIENT, retries=0)
    async with aclosing(agent.reply(request)) as events:
        assert [event async for event in events][-1] == End("stop")
    return model.report()["calls"][0]


def text(said: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": said}]


async def test_the_request_is_what_the_protocol_asks_for(model: ModelServer) -> None:
    call = await asked(
        model,
        Request(
            "three",
            instructions="Be kind.",
            history=(Turn("user", "one"), Turn("assistant", "two")),
            passages=(Passage("1", "Lamps", "A lamp needs a bulb.", 0.5),),
            limits=Limits(output_tokens=70),
        ),
    )
    assert (call["model"], call["stream"], call["max_tokens"]) == ("claude", True, 70)
    assert (call["api_key"], call["authorization"]) == (KEY, None)
    assert call["system"].startswith("Be kind.")
    assert "A lamp needs a bulb." in call["system"]
    assert call["messages"] == [
        {"role": "user", "content": text("one")},
        {"role": "assistant", "content": text("two")},
        {"role": "user", "content": text("three")},
    ]
    assert "tools" not in call


async def test_user_and_assistant_take_turns_and_nothing_is_joined(model: ModelServer) -> None:
    history = (Turn("assistant", "Sam here"), Turn("user", "one"), Turn("assistant", "a"), Turn("assistant", "b"))
    call = await asked(model, Request("two", history=(*history, Turn("user", "three"))))
    assert [(said["role"], [block["text"] for block in said["content"]]) for said in call["messages"]] == [
        ("user", ["(nothing)"]),
        ("assistant", ["Sam here"]),
        ("user", ["one"]),
        ("assistant", ["a", "b"]),
        ("user", ["three", "two"]),
    ]
    assert call["max_tokens"] == OUTPUT_TOKENS


async def test_tools_and_what_they_gave_are_put_as_the_protocol_asks(model: ModelServer) -> None:
    calls = (ToolCall("1", "search_knowledge", '{"query": "x"}'), ToolCall("2", "search_knowledge", "{broken"))
    exchange = Exchange("", calls, ("[]", "The arguments are not a JSON object."))
    call = await asked(model, Request("one", tools=TOOLS, exchanges=(exchange,)))
    assert [tool["name"] for tool in call["tools"]] == ["search_knowledge", "escalate_to_human"]
    assert call["tools"][0]["input_schema"]["required"] == ["query"]
    said, given = call["messages"][-2:]
    assert [block["input"] for block in said["content"]] == [{"query": "x"}, {}]
    assert [(block["type"], block["tool_use_id"]) for block in given["content"]] == [
        ("tool_result", "1"),
        ("tool_result", "2"),
    ]


async def test_the_last_round_knows_the_tools_but_may_not_ask_for_them(model: ModelServer) -> None:
    exchange = Exchange("Let me look.", (ToolCall("1", "search_knowledge", "{}"),), ("[]",))
    call = await asked(model, Request("one", exchanges=(exchange,)))
    assert [tool["name"] for tool in call["tools"]] == ["search_knowledge"]
    assert call["tool_choice"] == {"type": "none"}


# --- Its events ---


def body_of(*events: Any) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def delta(said: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": said}}


def stop(reason: str | None, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"role": "assistant", "content": [], "usage": usage}}


THINKING = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}}
SIGNATURE = {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}}
#: As the API sends it, with what models that think send besides, and a kind that nobody knows.
RECORDED = body_of(
    start(input_tokens=12, cache_read_input_tokens=3, cache_creation_input_tokens=0, output_tokens=1),
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "ping"},
    THINKING,
    SIGNATURE,
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    delta("Grüße "),
    {"type": "news_of_tomorrow", "what": [1]},
    delta("🙂"),
    {"type": "content_block_stop", "index": 1},
    stop("end_turn", output_tokens=5),
    {"type": "message_stop"},
)


def read(*chunks: bytes) -> tuple[str, Message]:
    message = Message()
    return "".join(message.feed(chunk) for chunk in chunks), message


def test_a_recorded_stream_is_the_same_wherever_it_is_cut() -> None:
    for at in range(len(RECORDED)):
        said, message = read(RECORDED[:at], RECORDED[at:])
        assert (said, message.finish_reason, message.usage) == ("Grüße 🙂", "stop", Usage(15, 5)), at
        assert message.failure is None


@pytest.mark.parametrize(
    ("reported", "known"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "stop"),
        ("pause_turn", "stop"),
        ("?", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_a_stop_reason_is_one_we_know(reported: str, known: str) -> None:
    assert read(body_of(delta("a"), stop(reported)))[1].finish_reason == known


def test_what_follows_the_end_is_not_said() -> None:
    said, message = read(body_of(delta("a"), stop("end_turn"), delta("b"), {"type": "error", "error": {}}))
    assert (said, message.failure) == ("a", None)


def test_a_tool_that_does_not_stream_its_arguments_is_understood() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"query": "x"}}
    message = read(body_of({"type": "content_block_start", "index": 0, "content_block": block}, stop("tool_use")))[1]
    assert message.calls == [ToolCall("t", "f", '{"query":"x"}')]


@pytest.mark.parametrize(
    "usage",
    [({}, {}), ({"input_tokens": 1}, {}), ({}, {"output_tokens": 1}), ({"input_tokens": -1}, {"output_tokens": 1})],
)
def test_usage_that_says_too_little_is_no_usage(usage: tuple[dict[str, int], dict[str, int]]) -> None:
    message = read(body_of(start(**usage[0]), delta("a"), stop("end_turn", **usage[1])))[1]
    assert (message.usage, message.failure) == (None, None)


@pytest.mark.parametrize(
    ("kind", "passes"), [("overloaded_error", True), ("api_error", True), ("invalid_request_error", False)]
)
def test_an_error_within_the_stream_is_a_failure_that_may_pass(kind: str, passes: bool) -> None:
    message = read(body_of({"type": "error", "error": {"type": kind, "message": "canary"}}))[1]
    assert (message.failure, message.failure_is_passing) == ("it reported an error", passes)


@pytest.mark.parametrize(
    "data",
    [
        "{broken",
        "[]",
        "null",
        '"x"',
        '{"type": "content_block_delta"}',
        '{"type": "content_block_delta", "delta": 7}',
        '{"type": "content_block_delta", "delta": {"type": "text_delta", "text": 7}}',
        '{"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": "x"}}',
        '{"type": "message_start"}',
        '{"type": "message_delta"}',
    ],
)
def test_an_event_that_is_none_is_a_failure_and_what_was_said_before_counts(data: str) -> None:
    said, message = read(body_of(delta("a")) + f"data: {data}\n\n".encode() + body_of(delta("b")))
    assert said == "a"
    assert message.failure
