"""The OpenAI-compatible agent against a server that behaves or misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import aclosing
from dataclasses import replace

import pytest

from agents import connections
from agents.contract import AgentFailure, End, Event, Passage, Request, Text, Turn, Usage
from agents.openai_compatible import OpenAICompatibleAgent
from agents.patience import Timeouts
from tests.client import SOON, script
from tests.model_server import CANARY, ModelServer

KEY = "sk-canary-of-the-key"
#: No test that is not about a timeout should ever meet one.
PATIENT = Timeouts(connect=SOON, first_token=SOON, gap=SOON, total=SOON)


def agent_of(
    server: ModelServer, timeouts: Timeouts = PATIENT, name: str = "m", key: str = KEY
) -> OpenAICompatibleAgent:
    return OpenAICompatibleAgent(name=name, base_url=server.base_url, api_key=key, timeouts=timeouts, retries=0)


async def listen(agent: OpenAICompatibleAgent, question: str) -> tuple[str, list[Event], AgentFailure | None]:
    """The text that was said, the other events, and how it failed."""
    said, others = "", []
    try:
        async with aclosing(agent.reply(Request(question))) as events:
            async for event in events:
                if isinstance(event, Text):
                    said += event.text
                else:
                    others.append(event)
    except AgentFailure as failure:
        return said, others, failure
    return said, others, None


async def nobody_listens(server: ModelServer) -> None:
    async with asyncio.timeout(SOON):
        await server.until(lambda: server.report()["open"] == 0)


# --- What goes well ---


async def test_a_reply_is_its_text_then_its_usage_then_its_end(model: ModelServer) -> None:
    said = await listen(agent_of(model), script(say="Hello there 🙂", usage=[7, 3]))
    assert said == ("Hello there 🙂", [Usage(7, 3), End("stop")], None)


async def test_tokens_come_as_the_model_says_them(model: ModelServer) -> None:
    async with aclosing(agent_of(model).reply(Request(script(say="one two", hold="rest")))) as events:
        assert await anext(events) == Text("one ")
        await model.release("rest")
        assert await anext(events) == Text("two")


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


async def test_a_history_of_megabytes_is_sent_whole(model: ModelServer) -> None:
    history = (Turn("user", "x" * 3_000_000), Turn("assistant", "two"))
    async with aclosing(agent_of(model).reply(Request("three", history=history))) as events:
        assert [event async for event in events][-1] == End("stop")
    assert model.report()["calls"][0]["messages"][1]["content"] == "x" * 3_000_000


async def test_without_a_key_none_is_sent(model: ModelServer) -> None:
    await listen(agent_of(model, key=""), "Hello")
    assert [call["authorization"] for call in model.report()["calls"]] == [None]


async def test_a_reply_that_was_too_long_for_the_model_says_so(model: ModelServer) -> None:
    assert (await listen(agent_of(model), script(say="Hello", finish="length", usage=False)))[1] == [End("length")]


async def test_a_finish_reason_nobody_knows_is_a_stop(model: ModelServer) -> None:
    assert (await listen(agent_of(model), script(say="Hello", finish="tired", usage=False)))[1] == [End("stop")]


async def test_done_without_a_finish_reason_is_a_stop(model: ModelServer) -> None:
    assert (await listen(agent_of(model), script(say="Hello", finish=None, usage=False)))[1] == [End("stop")]


async def test_a_finish_reason_without_done_is_an_end(model: ModelServer) -> None:
    assert (await listen(agent_of(model), script(say="Hello", done=False)))[1][-1] == End("stop")


async def test_a_body_that_stays_open_after_the_end_does_not_keep_the_reply(model: ModelServer) -> None:
    said, others, failure = await listen(agent_of(model), script(say="Hello", fail="keep-open", usage=[1, 1]))
    assert (said, others, failure) == ("Hello", [Usage(1, 1), End("stop")], None)
    await nobody_listens(model)


async def test_one_enormous_token_is_said(model: ModelServer) -> None:
    said, _, failure = await listen(agent_of(model), script(say="0123456789", repeat=200_000, tokens=1))
    assert (said, failure) == ("0123456789" * 200_000, None)


async def test_lines_may_end_with_crlf_and_hold_comments(model: ModelServer) -> None:
    chunk = json.dumps({"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]})
    raw = [": processing\r\n\r\n", f"data:{chunk[:10]}", f"{chunk[10:]}\r\n\r", "\n"]
    assert await listen(agent_of(model), script(raw=raw)) == ("Hello", [End("stop")], None)


async def test_a_connection_serves_one_reply_after_another(model: ModelServer) -> None:
    agent = agent_of(model)
    await listen(agent, "one")
    await listen(agent, "two")
    assert len({call["peer"] for call in model.report()["calls"]}) == 1


def test_an_estimate_is_a_quarter_of_the_characters() -> None:
    agent = OpenAICompatibleAgent(name="m", base_url="http://localhost", api_key="", timeouts=PATIENT)
    request = Request("q" * 40, instructions="i" * 20, history=(Turn("user", "h" * 40),))
    assert agent.estimate(request, "s" * 41) == Usage(25, 10)
    assert agent.estimate(request, "s").output_tokens == 1
    assert agent.estimate(request, "").output_tokens == 0


# --- What goes wrong ---

SAY = "one two three four "


@pytest.mark.parametrize(
    ("misbehaviour", "said", "failure"),
    [
        ({"fail": "http-400"}, "", "status 400"),
        ({"fail": "http-401"}, "", "status 401"),
        ({"fail": "http-404"}, "", "status 404"),
        ({"fail": "http-429"}, "", "status 429"),
        ({"fail": "http-500"}, "", "status 500"),
        ({"fail": "http-503"}, "", "status 503"),
        ({"fail": "http-204"}, "", "status 204"),
        ({"fail": "redirect"}, "", "status 307"),
        ({"fail": "html"}, "", "text/html"),
        ({"fail": "json-error"}, "", "application/json"),
        ({"fail": "empty"}, "", "without a word"),
        ({"fail": "cut", "after": 2}, "one two ", "connection"),
        ({"fail": "close", "after": 2}, "one two ", "closed the connection"),
        ({"fail": "not-json", "after": 2}, "one two ", "not JSON"),
        ({"fail": "not-completion", "after": 2}, "one two ", "no part of a reply"),
        ({"fail": "error-object", "after": 2}, "one two ", "reported an error"),
        ({"fail": "error-object", "after": 0}, "", "reported an error"),
        ({"finish": None, "done": False}, SAY, "closed the connection"),
        ({"raw": []}, "", "closed the connection"),
        ({"raw": [f"not an event {CANARY}"]}, "", "closed the connection"),
        ({"raw": ['data: {"choices": [{"delta": {"content": "half']}, "", "closed the connection"),
    ],
    ids=str,
)
async def test_a_model_that_misbehaves_is_a_failure_that_tells_no_secret(
    model: ModelServer, misbehaviour: dict[str, object], said: str, failure: str
) -> None:
    text, others, error = await listen(agent_of(model), script(say=SAY, **misbehaviour))
    assert text == said
    assert others == []
    assert failure in str(error)
    for secret in (CANARY, KEY, "127.0.0.1", str(model.port)):
        assert secret not in str(error)
    assert error is not None
    assert error.__cause__ is None
    await nobody_listens(model)


@pytest.mark.parametrize(
    ("timeouts", "misbehaviour", "said", "failure"),
    [
        (replace(PATIENT, first_token=0.1), {"fail": "stall-headers"}, "", "silent for 0.1 s"),
        (replace(PATIENT, first_token=0.1), {"fail": "stall-first"}, "", "silent for 0.1 s"),
        (replace(PATIENT, gap=0.1), {"fail": "stall-middle", "after": 2}, "one two ", "silent for 0.1 s"),
        (replace(PATIENT, total=0.2), {"fail": "stall-first"}, "", "longer than 0.2 s"),
        (replace(PATIENT, total=0.2), {"fail": "stall-middle", "after": 2}, "one two ", "longer than 0.2 s"),
    ],
)
async def test_a_model_that_falls_silent_is_given_up(
    model: ModelServer, timeouts: Timeouts, misbehaviour: dict[str, object], said: str, failure: str
) -> None:
    text, others, error = await listen(agent_of(model, timeouts), script(say=SAY, **misbehaviour))
    assert (text, others) == (said, [])
    assert failure in str(error)
    await nobody_listens(model)


async def test_a_model_that_never_ends_is_given_up_in_the_end(model: ModelServer) -> None:
    timeouts = replace(PATIENT, total=0.3)
    text, _, error = await listen(agent_of(model, timeouts), script(say=SAY, fail="endless", every_ms=10))
    assert (SAY * 100).startswith(text)
    assert "longer than 0.3 s" in str(error)
    await nobody_listens(model)


async def test_a_comment_is_no_sign_of_life(model: ModelServer) -> None:
    """The server sends comments for as long as somebody listens."""
    raw = [": processing\n\n"] * 100_000
    _, _, error = await listen(agent_of(model, replace(PATIENT, first_token=0.1)), script(raw=raw, every_ms=1))
    assert "silent for 0.1 s" in str(error)


async def test_a_model_that_thinks_aloud_is_not_silent(model: ModelServer) -> None:
    thought = 'data: {"choices": [{"delta": {"reasoning_content": "Hm."}}]}\n\n'
    end = 'data: {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}\n\n'
    timeouts = replace(PATIENT, first_token=1.0)
    said, _, error = await listen(agent_of(model, timeouts), script(raw=[*[thought] * 12, end], every_ms=110))
    assert (said, error) == ("Hello", None)


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        agent = OpenAICompatibleAgent(name="m", base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, timeouts=PATIENT)
        _, _, error = await listen(agent, "Hello")
    await connections.close()
    assert "connection failed" in str(error)
    assert str(port) not in str(error)


async def test_a_server_that_takes_no_connection_is_given_up() -> None:
    with socket.socket() as full, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting.connect(full.getsockname())  # and now the queue of connections is full
        base_url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        agent = OpenAICompatibleAgent(name="m", base_url=base_url, api_key=KEY, timeouts=replace(PATIENT, connect=0.1))
        _, _, error = await listen(agent, "Hello")
        await connections.close()
    assert str(error) == "no connection in 0.1 s"


# --- Who stops listening ---


async def test_closing_the_reply_closes_the_connection(model: ModelServer) -> None:
    events = agent_of(model).reply(Request(script(say=SAY, hold="for ever")))
    assert await anext(events) == Text("one ")
    assert model.report()["open"] == 1
    await events.aclose()
    await nobody_listens(model)


@pytest.mark.parametrize(
    "directives", [{"hold": "for ever"}, {"fail": "stall-first"}, {"fail": "stall-headers"}], ids=str
)
async def test_cancelling_who_listens_closes_the_connection(model: ModelServer, directives: dict[str, str]) -> None:
    listening = asyncio.create_task(listen(agent_of(model), script(say=SAY, **directives)))
    await model.until(lambda: model.report()["open"] == 1)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    await nobody_listens(model)


async def test_whoever_takes_no_more_of_an_endless_reply_closes_the_connection(model: ModelServer) -> None:
    async with aclosing(agent_of(model).reply(Request(script(say=SAY, fail="endless")))) as events:
        async for _ in events:
            break
    await nobody_listens(model)


async def test_after_a_failure_the_next_reply_is_whole(model: ModelServer) -> None:
    agent = agent_of(model)
    _, _, error = await listen(agent, script(fail="cut"))
    assert error
    assert (await listen(agent, "Hello"))[0] == "You said: Hello"
