"""The stream of a reply, byte for byte: how it is framed, paced, ended, and what keeps it open."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
import uuid
from collections.abc import AsyncGenerator, Callable

import pytest

from chats.changes import change_chat
from core.db.executor import in_thread
from streaming.sse.views import _paced
from tests.rest.wire import UUID, held, posted, said_by, verbatim
from tests.support.actors import Actor
from tests.support.client import read_sse, script

#: It holds on both servers.
pytestmark = pytest.mark.daphne

NewActor = Callable[..., Actor]
ESCALATED = {"type": "status", "status": "escalated"}


def whole(actor: Actor, message: str) -> bytes:
    """The body of the stream that answers a message in a new conversation."""
    answer = actor.customer("POST", f"/{actor.new_conversation()}/messages", json={"message": message})
    assert answer.status_code == 200, answer.text
    return answer.content


# --- Frames ---


def test_a_stream_is_framed_byte_for_byte(acme: Actor) -> None:
    body = whole(acme, verbatim("Grüße 🙂"))
    assert body == 'id: 1\ndata: {"type":"delta","text":"Grüße 🙂"}\n\nid: 2\ndata: [DONE]\n\n'.encode()


def test_events_are_numbered_from_1_to_the_last(acme: Actor) -> None:
    events = read_sse(whole(acme, script(say="a b c d e f g h", every_ms=25)))
    assert len(events) > 3
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert events[-1][1] == "[DONE]"
    assert said_by([data for _, data in events]) == "a b c d e f g h"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_its_headers(acme: Actor, slash: str) -> None:
    conversation_id = acme.new_conversation()
    async with posted(acme, conversation_id, "hi", slash=slash) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["transfer-encoding"] == "chunked"
        assert "content-encoding" not in stream.headers
        assert "content-length" not in stream.headers
        assert UUID.fullmatch(stream.headers["x-message-id"])
        assert stream.headers["x-stream-id"]
        await stream.finish()


async def test_each_reply_has_a_stream_of_its_own(acme: Actor) -> None:
    conversation_id = acme.new_conversation()
    ids = set()
    for _ in range(2):
        async with posted(acme, conversation_id, "hi") as stream:
            ids.add(stream.headers["x-stream-id"])
            await stream.finish()
    assert len(ids) == 2


HOSTILE = [
    "line\nbreak\r\nand\rmore\n\n",
    'data: [DONE]\n\nid: 7\ndata: {"type":"delta","text":"x"}\n\n',
    ": ping\n\n",
    "\u2028\u2029\x85\x0b\x0c",
    '"quotes" \\backslashes\\ </script>',
    "\x01\x1f\x7f\ufeff\ufffd\U0010ffff",
    "event: x\nretry: 1",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_said_is_data(acme: Actor, text: str) -> None:
    body = whole(acme, verbatim(text))
    assert body.startswith(b"id: 1\ndata: ")
    assert body.endswith(b"\n\nid: 2\ndata: [DONE]\n\n")
    assert body.count(b"\n") == 6
    assert b"\r" not in body
    (_, delta), _ = read_sse(body)
    assert delta == {"type": "delta", "text": text}


@pytest.mark.parametrize(
    "unit", ["\x01", "🙂", "a", '"', "é漢", "a\x01🙂"], ids=["control", "emoji", "ascii", "quotes", "mixed", "all"]
)
async def test_no_event_is_over_4_kib_and_each_is_one_write(acme: Actor, unit: str) -> None:
    message = script(say=unit, repeat=100_000 // len(unit))
    conversation_id = acme.new_conversation()
    begun = time.monotonic()
    async with posted(acme, conversation_id, message) as stream:
        events = await stream.finish()
        took = time.monotonic() - begun
    assert said_by(events) == unit * (100_000 // len(unit))
    assert max(len(write) for write in stream.writes) <= 4096
    numbers = [int(match[1]) for write in stream.writes if (match := re.match(rb"id: (\d+)\n", write))]
    assert numbers == list(range(1, len(numbers) + 1))
    # Each is written at least 2 ms after the one before, so no burst of them can be over sooner.
    assert took >= 0.002 * (len(numbers) - 1)


async def test_events_are_at_least_2_ms_apart_however_fast_they_come() -> None:
    async def burst() -> AsyncGenerator[bytes, None]:
        for number in range(50):
            yield b"%d" % number

    times = []
    async for _ in _paced(burst()):
        times.append(time.monotonic())
    assert len(times) == 50
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.002


async def test_each_read_parses_on_its_own(acme: Actor) -> None:
    """As the seeds' Node client does it: no buffer between two reads, every `data: ` line of a read is whole."""
    text = ""
    async with posted(acme, acme.new_conversation(), script(say="\x01🙂", repeat=4000)) as stream:
        async for read in stream.reads():
            for line in read.decode().split("\n"):
                if line.startswith("data: ") and line != "data: [DONE]":
                    text += json.loads(line.removeprefix("data: "))["text"]
    assert text == "\x01🙂" * 4000


# --- Ends ---


async def test_posts_at_once_are_answered_each_in_its_turn(acme: Actor) -> None:
    conversation_id = acme.new_conversation()

    async def say(message: str) -> str:
        async with posted(acme, conversation_id, message) as stream:
            return said_by(await stream.finish())

    messages = [f"message {n}" for n in range(8)]
    assert await asyncio.gather(*map(say, messages)) == [f"You said: {message}" for message in messages]
    history = acme.customer("GET", f"/{conversation_id}/messages").json()["messages"]
    assert sorted(turn["content"] for turn in history) == sorted(messages + [f"You said: {m}" for m in messages])


async def test_a_stream_is_no_connection(live: NewActor) -> None:
    acme = await in_thread(live, "Acme", model="openai:test", ws_connections=0)
    async with posted(acme, acme.new_conversation(), "hi") as stream:
        assert said_by(await stream.finish()) == "You said: hi"


async def test_a_client_that_hangs_up_leaves_the_reply_running(acme: Actor, release: Callable[[str], None]) -> None:
    conversation_id = acme.new_conversation()
    async with await acme.join(conversation_id) as socket:
        message = held("one two three", conversation_id)
        async with posted(acme, conversation_id, message) as stream:
            await stream.until_said("one")
        release(conversation_id)
        ended = await socket.until("message_stream_ended")
    assert ended["content"] == "one two three"
    assert "stopped" not in ended
    turns = acme.customer("GET", f"/{conversation_id}/messages").json()["messages"]
    assert [turn["content"] for turn in turns] == [message, "one two three"]


async def test_a_stopped_reply_ends_its_stream(acme: Actor) -> None:
    conversation_id = acme.new_conversation()
    async with await acme.join(conversation_id) as socket:
        async with posted(acme, conversation_id, held("one two", conversation_id)) as stream:
            await stream.until_said("one")
            await socket.send({"action": "stop"})
            assert (await stream.finish())[-1] == "[DONE]"
        ended = await socket.until("message_stream_ended")
    assert (ended["content"], ended["stopped"]) == ("one ", True)


# --- Escalation ---


@pytest.fixture
def shop(live: NewActor) -> Actor:
    return live("Acme", model="builtin")


def test_a_reply_that_escalates_says_so_after_its_text(shop: Actor) -> None:
    conversation_id = shop.new_conversation()
    path = f"/{conversation_id}/messages"
    answer = shop.customer("POST", path, json={"message": "I want to talk to a human, please"})
    *deltas, status, done = [data for _, data in read_sse(answer.content)]
    assert (status, done) == (ESCALATED, "[DONE]")
    assert deltas
    assert {delta["type"] for delta in deltas} == {"delta"}
    history = shop.customer("GET", path).json()
    assert history["status"] == "escalated"
    assert history["messages"][-1]["content"] == said_by(deltas)


def test_in_an_escalated_conversation_a_message_is_saved_and_gets_the_status(shop: Actor) -> None:
    conversation_id = shop.new_conversation()
    path = f"/{conversation_id}/messages"
    change_chat(tenant_id=shop.tenant_id, chat_id=uuid.UUID(conversation_id), status="escalated")
    answer = shop.customer("POST", path, json={"message": "anybody there?"})
    assert answer.status_code == 200
    assert answer.content == b'id: 1\ndata: {"type":"status","status":"escalated"}\n\nid: 2\ndata: [DONE]\n\n'
    assert "X-Stream-Id" not in answer.headers
    (stored,) = shop.rest("GET", path).json()["messages"]
    assert (stored["id"], stored["content"]) == (answer.headers["X-Message-Id"], "anybody there?")


def test_in_an_escalated_conversation_nothing_is_charged(live: NewActor) -> None:
    acme = live("Acme", model="builtin", credits=0)
    conversation_id = acme.new_conversation()
    change_chat(tenant_id=acme.tenant_id, chat_id=uuid.UUID(conversation_id), status="escalated")
    answer = acme.customer("POST", f"/{conversation_id}/messages", json={"message": "hi"})
    assert read_sse(answer.content)[0][1] == ESCALATED


def test_handed_back_it_is_answered_again(shop: Actor) -> None:
    conversation_id = shop.new_conversation()
    for status in ("escalated", "active"):
        change_chat(tenant_id=shop.tenant_id, chat_id=uuid.UUID(conversation_id), status=status)
    answer = shop.customer("POST", f"/{conversation_id}/messages", json={"message": "hello"})
    assert read_sse(answer.content)[0][1]["type"] == "delta"
