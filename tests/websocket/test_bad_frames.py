"""Guarantee 6: a frame that is no good is told so once, nothing of it is stored, and the socket lives."""

from __future__ import annotations

import json
from typing import Any

import pytest
import websockets

from tests.support.actors import Actor
from tests.websocket.conftest import NewTenant

#: It holds on both servers.
pytestmark = pytest.mark.daphne


def message(**fields: Any) -> str:
    return json.dumps({"content": "hi", **fields})


def with_metadata(value: str) -> str:
    """A frame whose metadata holds a value that is written as it stands."""
    return f'{{"content": "hi", "metadata": {{"a": {value}}}}}'


def nested(depth: int) -> str:
    """A frame of so many levels: itself, its metadata, and lists."""
    return with_metadata("[" * (depth - 2) + "]" * (depth - 2))


def metadata_of(size: int) -> dict[str, str]:
    """Metadata of so many bytes as compact UTF-8 JSON."""
    return {"ü": "x" * (size - len('{"ü":""}'.encode()))}


BAD: dict[str, str | bytes] = {
    "binary": message().encode(),
    "empty": "",
    "white space": " \n",
    "words": "hello",
    "half an object": '{"content": "hi"',
    "an object and more": message() + "x",
    "two objects": message() + message(),
    "single quotes": "{'content': 'hi'}",
    "a trailing comma": '{"content": "hi",}',
    "a byte order mark": "\ufeff" + message(),
    "an array": f"[{message()}]",
    "a string": '"hi"',
    "a number": "5",
    "null": "null",
    "no content": "{}",
    "another name for content": '{"message": "hi"}',
    "content null": '{"content": null}',
    "content a number": '{"content": 5}',
    "content true": '{"content": true}',
    "content an array": '{"content": ["hi"]}',
    "content an object": '{"content": {"text": "hi"}}',
    "content empty": '{"content": ""}',
    "content white space": '{"content": " \\n\\t\\u3000"}',
    "NUL in content": '{"content": "h\\u0000i"}',
    "NUL in a key": '{"content": "hi", "metadata": {"\\u0000": 1}}',
    "NUL deep in metadata": with_metadata('[{"b": "\\u0000"}]'),
    "NUL in a field nobody reads": '{"content": "hi", "other": "\\u0000"}',
    "a bare NUL": '{"content": "h\0i"}',
    "a lone surrogate in content": '{"content": "\\ud800"}',
    "a lone low surrogate in content": '{"content": "\\udc00 hi"}',
    "a lone surrogate in a key": '{"content": "hi", "metadata": {"\\ud800": 1}}',
    "a lone surrogate in a field nobody reads": '{"content": "hi", "other": "\\ud83d"}',
    "NaN": with_metadata("NaN"),
    "Infinity": with_metadata("Infinity"),
    "-Infinity": with_metadata("-Infinity"),
    "a float beyond all floats": with_metadata("1e400"),
    "2 to the 64": with_metadata(str(2**64)),
    "less than -2 to the 63": with_metadata(str(-(2**63) - 1)),
    "an integer of 5,000 digits": with_metadata("9" * 5000),
    "33 levels": nested(33),
    "100,000 brackets": with_metadata("[" * 50_000 + "]" * 50_000),
    "100,000 open brackets": "[" * 100_000,
    "metadata an array": message(metadata=[]),
    "metadata a string": message(metadata="urgent"),
    "metadata false": message(metadata=False),
    "metadata over 16 KiB": message(metadata=metadata_of(16 * 1024 + 1)),
    "content and stop": message(action="stop"),
    "content and ping": message(action="ping"),
    "an unknown action": '{"action": "dance"}',
    "an action that is no text": '{"action": ["stop"]}',
    "stop of what is no text": '{"action": "stop", "message_id": 5}',
    "client_message_id empty": message(client_message_id=""),
    "client_message_id of 256": message(client_message_id="x" * 256),
    "client_message_id a number": message(client_message_id=5),
    "client_message_id with NUL": '{"content": "hi", "client_message_id": "\\u0000"}',
}


async def history(actor: Actor, chat_id: str) -> list[dict[str, Any]]:
    return actor.rest("GET", f"/{chat_id}/messages").json()["messages"]


async def refused(actor: Actor, frame: str | bytes) -> dict[str, Any]:
    """The one error a frame is answered with. After it the socket works, and the history knows nothing of it."""
    chat_id = actor.new_chat()
    async with await actor.join(chat_id) as socket:
        before = len(socket.events)
        await socket.send(frame)
        ended = await socket.say("Are you still there?")
    first, second, *_ = socket.events[before:]
    assert (first["event_type"], second["event_type"]) == ("error", "message_received")
    assert socket.of_type("error") == [first]
    assert second["sequence"] == 1
    stored = [(row["id"], row["content"]) for row in await history(actor, chat_id)]
    assert stored == [(row["message_id"], row["content"]) for row in (second, ended)]
    return first


async def accepted(actor: Actor, frame: str) -> dict[str, Any]:
    """A message as the history has it, once its reply has ended."""
    chat_id = actor.new_chat()
    async with await actor.join(chat_id) as socket:
        await socket.send(frame)
        await socket.until("message_stream_ended")
        assert socket.of_type("error") == []
    return (await history(actor, chat_id))[0]


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_frame_is_answered_with_one_error(acme: Actor, what: str) -> None:
    assert (await refused(acme, BAD[what]))["error_code"] == "INVALID_REQUEST"


async def test_a_message_that_is_too_long_is_told_so(new_tenant: NewTenant) -> None:
    acme = await new_tenant(message_max_characters=100)
    error = await refused(acme, message(content="🙂" * 101, client_message_id="m1"))
    assert error["error_code"] == "MESSAGE_TOO_LONG"
    assert error["details"]["client_message_id"] == "m1"


async def test_the_longest_message_by_default_has_32_000_characters(acme: Actor) -> None:
    assert (await refused(acme, message(content="x" * 32_001)))["error_code"] == "MESSAGE_TOO_LONG"


async def test_a_refused_frame_is_named_by_its_client_message_id(acme: Actor) -> None:
    error = await refused(acme, message(content="", client_message_id="m1"))
    assert error["details"]["client_message_id"] == "m1"
    assert list(error["details"]["fields"]) == ["content"]


async def test_characters_count_as_code_points(new_tenant: NewTenant) -> None:
    acme = await new_tenant(message_max_characters=100)
    assert (await accepted(acme, message(content="🙂" * 100)))["content"] == "🙂" * 100


@pytest.mark.parametrize(
    "content", [" hi\r\n", "e\u0301", "\u2028\ufeff\x7f", '</script>"\\', "\u202ehi", "data: [DONE]\n\n"]
)
async def test_content_is_stored_as_it_came(acme: Actor, content: str) -> None:
    assert (await accepted(acme, message(content=content)))["content"] == content


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        None,
        {"n": [2**64 - 1, -(2**63), 1.5, -0.0, 1e308, True, None, ""]},
        {"": {"ü": "🙂"}},
        metadata_of(16 * 1024),
        json.loads(nested(32))["metadata"],
    ],
    ids=["empty", "null", "numbers", "keys", "16 KiB", "32 levels"],
)
async def test_metadata_is_stored_as_it_came(acme: Actor, metadata: dict[str, Any] | None) -> None:
    assert (await accepted(acme, message(metadata=metadata)))["metadata"] == (metadata or {})


async def test_of_duplicate_keys_the_last_counts(acme: Actor) -> None:
    frame = '{"content": "first", "metadata": {"a": 1, "a": 2}, "content": "last"}'
    stored = await accepted(acme, frame)
    assert (stored["content"], stored["metadata"]) == ("last", {"a": 2})


async def test_a_client_message_id_has_up_to_255_characters(acme: Actor) -> None:
    await accepted(acme, message(client_message_id="ü" * 255))


async def test_fields_nobody_knows_are_overlooked(acme: Actor) -> None:
    assert (await accepted(acme, message(other={"a": 1}, type="message")))["content"] == "hi"


async def test_many_bad_frames_in_a_row_are_each_answered(acme: Actor) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        for _ in range(50):
            await socket.send("{")
        assert [event["error_code"] for event in await socket.quiet()] == ["INVALID_REQUEST"] * 50


async def test_a_client_that_leaves_without_goodbye_harms_nobody(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as stays:
        leaves = await acme.join(chat_id)
        leaves.connection.transport.abort()
        with pytest.raises(websockets.ConnectionClosed):
            await leaves.next()
        await stays.say("Are you still there?")
