"""Guarantee 6 over HTTP: what would break something behind the door is refused there, the rest comes back as sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.rest.body_endpoints import Door
from tests.rest.wire import assert_refused
from tests.support.actors import Actor
from tests.support.servers import Server


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: bodies are read behind it (test_bodies.py has those that are not)."""
    return live_server_uvicorn


# --- Bodies that are no JSON object ---


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"}",
        b"not json",
        b"'single'",
        b"{'user_id': 'alice'}",
        b'{"user_id": "alice",}',
        b'{"user_id": "alice"} {}',
        b'{"user_id": "alice"}\x00',
        b"\x00",
        b'\xef\xbb\xbf{"user_id": "alice", "message": "hi"}',
        b'{"user_id": "\xff", "message": "\xff"}',
        b'{"user_id": "\xed\xa0\x80", "message": "\xed\xa0\x80"}',
        b'{"user_id": "\xc0\x80", "message": "\xc0\x80"}',
        '{"user_id": "alice", "message": "hi"}'.encode("utf-16"),
        b'{"user_id": "line\nbreak", "message": "line\nbreak"}',
        b'// comment\n{"user_id": "alice"}',
        b"[]",
        b'[{"user_id": "alice", "message": "hi"}]',
        b'"user_id"',
        b"7",
        b"null",
        b"true",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_object_is_refused(door: Door, body: bytes) -> None:
    door.assert_refuses(body)


# --- Values that break something behind the door ---


def nested(levels: int) -> str:
    """An array in an array, so many levels of them."""
    return "[" * levels + "]" * levels


BAD_VALUES = {
    "NUL": '"\\u0000"',
    "NUL in text": '"a\\u0000b"',
    "NUL in a key": '{"a\\u0000": 1}',
    "NUL far inside": '[[{"a": ["\\u0000"]}]]',
    "a high surrogate": '"\\ud800"',
    "a low surrogate": '"\\udfff"',
    "surrogates the wrong way round": '"\\ude00\\ud83d"',
    "a lone surrogate in a key": '{"\\ud800": 1}',
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e400": "1e400",
    "-1e400": "-1e400",
    "2^64": str(2**64),
    "-2^63 - 1": str(-(2**63) - 1),
    "5,000 digits": "9" * 5000,
    "-5,000 digits": "-" + "9" * 5000,
    "2^64 in an array": f"[1, [{2**64}]]",
    "a leading zero": "01",
    "a leading plus": "+1",
    "hexadecimal": "0x10",
    "depth 33": nested(32),
    "depth 100,000": nested(100_000),
    "objects, depth 33": '{"a":' * 32 + "1" + "}" * 32,
}


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_value_is_refused_wherever_it_stands(door: Door, value: str) -> None:
    door.assert_refuses(f'{{{door.needed}, "unknown": {value}}}'.encode())


@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES)
@pytest.mark.parametrize("name", ["chat", "conversation"])
def test_a_bad_value_is_refused_in_metadata(doors: dict[str, Door], name: str, value: str) -> None:
    door = doors[name]
    door.assert_refuses(f'{{{door.needed}, "metadata": {{"a": {value}}}}}'.encode())


@pytest.mark.parametrize(
    "value",
    [nested(31), '{"a":' * 31 + "1" + "}" * 31, str(2**64 - 1), str(-(2**63)), "1e308", '"\\ud83d\\ude00"', "1e-400"],
    ids=lambda value: value[:24],
)
def test_a_value_at_the_bound_is_taken(door: Door, value: str) -> None:
    assert door.send(f'{{{door.needed}, "unknown": {value}}}'.encode()).status_code in (200, 201)


def test_of_duplicate_keys_the_last_counts(doors: dict[str, Door]) -> None:
    answer = doors["chat"].send(b'{"user_id": "first", "title": 7, "user_id": "last", "title": "T"}')
    assert answer.status_code == 201
    assert (answer.json()["user_id"], answer.json()["title"]) == ("last", "T")
    door = doors["message"]
    assert door.send(b'{"message": "first", "message": "last"}').status_code == 200
    history = door.actor.customer("GET", door.path.removeprefix("/api/v1/customer/conversations")).json()
    assert history["messages"][0]["content"] == "last"


def test_of_a_duplicate_key_a_bad_last_value_is_refused(doors: dict[str, Door]) -> None:
    doors["chat"].assert_refuses(b'{"user_id": "first", "user_id": 7}')
    doors["message"].assert_refuses(b'{"message": "first", "message": ""}')


# --- Metadata ---


@pytest.mark.parametrize("value", ["[]", '"text"', "7", "true", "false", "0", '""', "[{}]"])
@pytest.mark.parametrize("name", ["chat", "conversation"])
def test_metadata_that_is_no_object_is_refused(doors: dict[str, Door], name: str, value: str) -> None:
    door = doors[name]
    refusal = door.assert_refuses(f'{{{door.needed}, "metadata": {value}}}'.encode())
    if name == "chat":
        assert list(refusal["details"]["fields"]) == ["metadata"]


def of_size(size: int, character: str = "x") -> dict[str, str]:
    """A metadata object of so many bytes as compact UTF-8 JSON."""
    room = size - len('{"a":""}')
    width = len(character.encode())
    return {"a": character * (room // width) + "x" * (room % width)}


@pytest.mark.parametrize("character", ["x", "é", "🙂"])
@pytest.mark.parametrize("name", ["chat", "conversation"])
def test_metadata_of_16_kib_is_taken_and_one_byte_more_is_not(
    doors: dict[str, Door], name: str, character: str
) -> None:
    door = doors[name]
    fits, over = of_size(16 * 1024, character), of_size(16 * 1024 + 1, character)
    assert len(json.dumps(fits, ensure_ascii=False, separators=(",", ":")).encode()) == 16 * 1024
    # However it was spelled: white space and escapes do not count.
    assert door.send(f'{{{door.needed}, "metadata":  {json.dumps(fits, indent=8)}}}'.encode()).status_code == 201
    door.assert_refuses(f'{{{door.needed}, "metadata": {json.dumps(over)}}}'.encode())


@pytest.mark.parametrize(
    "metadata",
    [
        '{"z":1,"a":2,"m":{"z":[],"a":{}}}',
        '{"":"","a b":null,"é":true,"🙂":false}',
        '{"n":18446744073709551615,"m":-9223372036854775808,"one":1,"float":1.0,"zero":-0.0}',
        '{"f":0.1,"big":1e308,"small":5e-324}',
        '{"text":"\u2028\u2029\u202e\u200d</script>\'\\"\\\\\\n\\u0001"}',
    ],
)
def test_metadata_comes_back_as_it_came(doors: dict[str, Door], metadata: str) -> None:
    door = doors["chat"]
    made = door.send(f'{{"user_id": "alice", "metadata": {metadata}}}'.encode())
    assert made.status_code == 201
    read = door.actor.rest("GET", f"/{made.json()['id']}")
    for content in (made.content, read.content):
        assert json.dumps(json.loads(content)["config"]["metadata"]) == json.dumps(json.loads(metadata))


# --- Messages ---


@pytest.mark.parametrize(
    "message",
    [None, 7, 1.5, True, [], {}, ["hi"], "", " ", "\n\t ", "\u2003\u3000", "\u2028"],
    ids=repr,
)
def test_a_message_that_is_no_text_is_refused(doors: dict[str, Door], message: Any) -> None:
    doors["message"].assert_refuses(json.dumps({"message": message}).encode())


def test_a_body_without_a_message_is_refused(doors: dict[str, Door]) -> None:
    doors["message"].assert_refuses(b"{}")
    doors["message"].assert_refuses(b"")
    doors["message"].assert_refuses(b'{"content": "hi"}')


def test_a_message_of_32_000_characters_is_taken_and_one_more_is_too_long(doors: dict[str, Door]) -> None:
    door = doors["message"]
    door.assert_refuses(json.dumps({"message": "🙂" * 32_001}).encode(), 400, "MESSAGE_TOO_LONG")
    assert door.send(json.dumps({"message": "🙂" * 32_000}).encode()).status_code == 200


def test_the_length_of_a_message_is_the_tenants_to_set(live: Callable[..., Actor]) -> None:
    acme = live("Acme", model="builtin", message_max_characters=10)
    path = f"/{acme.new_conversation()}/messages"
    refused = acme.customer("POST", path, json={"message": "x" * 11})
    assert_refused(refused, 400, "MESSAGE_TOO_LONG", face="customer")
    assert acme.customer("POST", path, json={"message": "x" * 10}).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "  spaces around  ",
        "\n\nlines\r\nof\rall kinds\u2028and\u2029more\x85\x0b\x0c",
        "👩‍👩‍👧 🇩🇪 e\u0301 é",
        "שלום \u202eמימין לשמאל\u202c مرحبا",
        "<script>alert(1)</script> & \"quotes\" 'and' \\backslashes\\ %s {} ${x}",
        "\x01\x02\x1f\x7f\ufeff\ufffd\uffff\U0010ffff",
        'data: [DONE]\n\nid: 7\ndata: {"type":"delta"}\n\n',
        "'; DROP TABLE chats_message; --",
        "tab\tand nbsp\u00a0",
    ],
)
def test_content_comes_back_as_it_came(doors: dict[str, Door], text: str) -> None:
    door = doors["message"]
    assert door.send(json.dumps({"message": text}).encode()).status_code == 200
    path = door.path.removeprefix("/api/v1/customer/conversations")
    assert door.actor.customer("GET", path).json()["messages"][0]["content"] == text
    chat_path = path  # The same row on the Lexicon face.
    assert door.actor.rest("GET", chat_path).json()["messages"][0]["content"] == text


# --- Forms ---


def test_a_form_is_refused(door: Door) -> None:
    """Not on daphne, which reads multipart bodies itself and answers a broken one without a body."""
    body = b'--x\r\nContent-Disposition: form-data; name="user_id"\r\n\r\nalice\r\n--x--\r\n'
    before = door.stored()
    answer = door.send(body, "multipart/form-data; boundary=x")
    assert_refused(answer, 415 if door.face == "lexicon" else 400, "UNSUPPORTED_MEDIA_TYPE", face=door.face)
    assert door.stored() == before
