"""What each event holds: every field the documents give, the additive ones, and nothing else."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model, history

#: It holds on both servers.
pytestmark = pytest.mark.daphne

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


def check(event: dict[str, Any], event_type: str, **fields: Any) -> None:
    """The event has exactly these fields; a field given as `str` may hold any text."""
    assert event["event_type"] == event_type
    assert STAMP.fullmatch(event["timestamp"])
    given = {name: value for name, value in event.items() if name not in ("event_type", "timestamp")}
    assert set(given) == set(fields)
    for name, value in fields.items():
        assert isinstance(given[name], str) if value is str else given[name] == value


async def round_trip(acme: Actor, chat_id: str, content: str = "Hello", **fields: Any) -> Socket:
    """A closed socket that remembers one message and its reply."""
    async with await acme.join(chat_id) as socket:
        await socket.say(content, **fields)
        return socket


async def test_connection_established(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        [event] = socket.events
        tenant_id = str(acme.tenant_id)
        check(event, "connection_established", user_id="alice", chat_id=chat_id, tenant_id=tenant_id, status="active")


async def test_user_created(acme: Actor) -> None:
    async with await acme.join(acme.new_chat(), "bob") as socket:
        check(await socket.next(), "user_created", user_id="bob")


async def test_message_received(acme: Actor) -> None:
    chat_id = acme.new_chat()
    socket = await round_trip(acme, chat_id, metadata={"a": 1})
    [event] = socket.of_type("message_received")
    check(event, "message_received", message_id=str, chat_id=chat_id, user_id="alice", content="Hello", sequence=1)
    assert history(acme, chat_id)[0]["id"] == event["message_id"]


async def test_message_received_names_the_client_message_id_where_one_was_given(acme: Actor) -> None:
    socket = await round_trip(acme, acme.new_chat(), client_message_id="m 1 ü")
    [event] = socket.of_type("message_received")
    assert event["client_message_id"] == "m 1 ü"


async def test_message_stream_started(acme: Actor) -> None:
    chat_id = acme.new_chat()
    socket = await round_trip(acme, chat_id)
    [event] = socket.of_type("message_stream_started")
    [received] = socket.of_type("message_received")
    check(
        event,
        "message_stream_started",
        chat_id=chat_id,
        user_id="alice",
        message_id=str,
        reply_to=received["message_id"],
    )


async def test_message_stream_token(acme: Actor) -> None:
    chat_id = acme.new_chat()
    socket = await round_trip(acme, chat_id)
    [started] = socket.of_type("message_stream_started")
    tokens = socket.of_type("message_stream_token")
    offset = 0
    for event in tokens:
        check(
            event,
            "message_stream_token",
            chat_id=chat_id,
            token=str,
            message_id=started["message_id"],
            offset=offset,
        )
        assert event["token"]
        offset += len(event["token"])
    assert "".join(event["token"] for event in tokens) == "You said: Hello"


async def test_message_stream_ended(acme: Actor) -> None:
    chat_id = acme.new_chat()
    socket = await round_trip(acme, chat_id)
    [started] = socket.of_type("message_stream_started")
    [event] = socket.of_type("message_stream_ended")
    check(
        event,
        "message_stream_ended",
        message_id=started["message_id"],
        chat_id=chat_id,
        user_id="alice",
        content="You said: Hello",
        sequence=2,
        reply_to=started["reply_to"],
        metadata=event["metadata"],
    )
    stored = history(acme, chat_id)[1]
    assert event["metadata"] == stored["metadata"]
    counts = {"tokens_used", "input_tokens", "output_tokens", "first_token_ms", "total_ms"}
    assert set(event["metadata"]) == {"model", *counts}
    assert all(isinstance(event["metadata"][name], int) for name in counts)


async def test_ids_are_uuids_in_their_usual_form(acme: Actor) -> None:
    socket = await round_trip(acme, acme.new_chat())
    ids = {event[name] for event in socket.events for name in event if name.endswith("_id") and name != "user_id"}
    ids |= {event["reply_to"] for event in socket.events if "reply_to" in event}
    assert ids == {str(uuid.UUID(text)) for text in ids}


async def test_offsets_count_code_points(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        ended = await socket.say(
            model.script(say="🙂é漢e\u0301\U0001f468\u200d\U0001f469 ", repeat=40, tokens=40, every_ms=2)
        )
    tokens = socket.of_type("message_stream_token")
    assert len(tokens) > 1
    for event in tokens:
        assert ended["content"][event["offset"] :].startswith(event["token"])
    assert "".join(event["token"] for event in tokens) == ended["content"]


async def test_what_a_model_says_is_data_whatever_it_looks_like(acme: Actor, model: Model) -> None:
    hostile = '</script>\u2028"\\ data: [DONE]\n\nevent: x\r\n{"event_type": "error"}'
    async with await acme.join(acme.new_chat()) as socket:
        ended = await socket.say(model.script(say=hostile))
    assert ended["content"] == hostile
    assert "".join(event["token"] for event in socket.of_type("message_stream_token")) == hostile


async def test_an_error(acme: Actor) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send({"content": 5, "client_message_id": "m1"})
        event = await socket.next()
    details = {"fix": event["details"]["fix"], "fields": {"content": "must be a string"}, "client_message_id": "m1"}
    check(event, "error", error_code="INVALID_REQUEST", error_message=str, details=details)


async def test_pong(acme: Actor) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send({"type": "ping"})
        check(await socket.next(), "pong")
