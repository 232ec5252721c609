"""What no WebSocket library sends, or not so much of it: it costs the client its socket, and nobody else anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lexicon.server.websocket_protocol import CONTROL_FRAMES_PER_SECOND, FRAGMENTS_PER_MESSAGE
from tests.hostile.raw_client import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    SOON,
    TEXT,
    Raw,
    assert_serves,
    frame,
    log,
    refused,
)
from tests.support.actors import Actor
from tests.support.servers import Server

#: No database decides it.
pytestmark = pytest.mark.once

MIB = 1024 * 1024
#: Several times what froze the process for ten seconds, and more than the buffers on the way hold.
FLOOD = 64 * MIB


@pytest.fixture
def joined(server: Server, acme: Actor) -> Iterator[Raw]:
    with Raw(server) as client:
        client.join(acme, acme.new_chat())
        yield client


def assert_answers(client: Raw) -> None:
    """The socket lives: a message is stored and answered."""
    client.send(frame(TEXT, b'{"content": "Hello"}'))
    assert client.until("message_stream_ended")["content"]


# --- After the close ---

#: What was read as frames after a refusal, for as long as it came.
AFTER = {
    "pongs": frame(PONG),
    "pings": frame(PING),
    "pings with a text": frame(PING, b"a" * 125),
    "text": frame(TEXT, b"a"),
    "empty texts": frame(TEXT),
    "empty fragments": frame(CONT, fin=False),
    "closes": frame(CLOSE),
    "large frames": frame(BINARY, b"a" * 65536),
    "what is no frame": b"\xff" * 1000,
}


@pytest.mark.parametrize("sent", AFTER.values(), ids=AFTER)
def test_what_comes_after_a_refusal_is_not_read(server: Server, sent: bytes) -> None:
    with refused(server, "after_close"), Raw(server) as client:
        client.handshake(api_key="nobody's")
        assert client.event()["error_code"] == "AUTH_ERROR"
        assert client.frame() == (CLOSE, (4401).to_bytes(2, "big") + b"AUTH_ERROR")
        assert client.flood(sent * (65536 // len(sent) + 1), FLOOD) < FLOOD
        assert client.rest() == b"", "it was answered"


def test_a_ping_after_a_refusal_is_not_answered(server: Server) -> None:
    with Raw(server) as client:
        client.handshake()
        client.send(frame(PING, b"a") * 3)
        assert client.close_code() == 4401
        client.send(frame(PING, b"b") * 3)
        assert client.rest() == b""


def test_a_client_that_never_closes_its_side_is_closed(server: Server) -> None:
    with Raw(server) as client:
        client.handshake()
        assert client.close_code() == 4401  # The server has closed its own side.

        def is_gone() -> bool:
            try:
                client.send(frame(PING))
            except ConnectionError:
                return True
            return False

        until = time.monotonic() + SOON
        while not is_gone():
            assert time.monotonic() < until
            time.sleep(0.1)


def test_others_are_served_while_many_flood(server: Server, acme: Actor) -> None:
    clients = []
    for _ in range(10):
        client = Raw(server)
        client.handshake()
        clients.append(client)
    flooding = [
        threading.Thread(target=client.flood, args=(frame(PONG) * 10_000, FLOOD), daemon=True) for client in clients
    ]
    for thread in flooding:
        thread.start()
    chat_id = acme.new_chat()
    with Raw(server) as client:
        client.join(acme, chat_id)
        assert_answers(client)
    for thread, client in zip(flooding, clients, strict=True):
        thread.join(SOON)
        client.socket.close()


# --- Control frames ---


@pytest.mark.parametrize(
    "sent",
    [
        [frame(PING)] * (CONTROL_FRAMES_PER_SECOND + 1),
        [frame(PING)] * 10_000,
        [frame(PONG)] * (CONTROL_FRAMES_PER_SECOND + 1),
        [frame(PONG, b"a" * 125)] * 10_000,
        [frame(PING, b"a"), frame(PONG, b"b")] * CONTROL_FRAMES_PER_SECOND,
        [frame(TEXT, b"{", fin=False), *[frame(PING)] * 10_000],
        [frame(PONG), frame(TEXT, b"{}")] * 10_000,
    ],
    ids=["101 pings", "pings", "101 pongs", "long pongs", "both", "within a message", "between messages"],
)
def test_more_than_100_control_frames_a_second_close_with_1008(server: Server, joined: Raw, sent: list[bytes]) -> None:
    with refused(server, "control_frames"):
        threading.Thread(target=joined.flood, args=(b"".join(sent), 1)).start()
        assert joined.close_code() == 1008


def test_100_pings_are_answered_and_so_are_100_a_second_later(joined: Raw) -> None:
    for _ in range(2):
        joined.send(b"".join(frame(PING, b"%d" % number) for number in range(CONTROL_FRAMES_PER_SECOND)))
        for number in range(CONTROL_FRAMES_PER_SECOND):
            assert joined.frame() == (PONG, b"%d" % number)
        time.sleep(1.1)  # The bound's own second.
    assert_answers(joined)


# --- Fragments and sizes ---


def in_fragments(payload: bytes, count: int) -> bytes:
    """A text in so many fragments, of a byte each and then empty ones."""
    parts = [payload[index : index + 1] for index in range(count)]
    last = len(parts) - 1
    return b"".join(frame(CONT if index else TEXT, part, fin=index == last) for index, part in enumerate(parts))


def test_20_000_fragments_are_one_message(joined: Raw) -> None:
    joined.send(in_fragments(b'{"content": "Hello"}', FRAGMENTS_PER_MESSAGE))
    assert joined.until("message_received")["content"] == "Hello"


@pytest.mark.parametrize("part", [b"", b"a"], ids=["empty", "of a byte"])
def test_more_fragments_close_with_1008(server: Server, joined: Raw, part: bytes) -> None:
    with refused(server, "frame"):
        sent = frame(TEXT, part, fin=False) + frame(CONT, part, fin=False) * FRAGMENTS_PER_MESSAGE
        threading.Thread(target=joined.flood, args=(sent, 1)).start()
        assert joined.close_code() == 1008


TOO_LARGE = {
    "one frame": frame(TEXT, b" " * (MIB + 1)),
    "a length alone": b"\x82\xff" + (1 << 62).to_bytes(8, "big"),
    "two fragments": frame(TEXT, b" " * MIB, fin=False) + frame(CONT, b" "),
    "many fragments": frame(TEXT, b" ", fin=False) + frame(CONT, b" " * 1024, fin=False) * 1024,
}


@pytest.mark.parametrize("sent", TOO_LARGE.values(), ids=TOO_LARGE)
def test_over_1_mib_closes_with_1009(server: Server, joined: Raw, sent: bytes) -> None:
    with refused(server, "frame"):
        threading.Thread(target=joined.flood, args=(sent, 1)).start()
        assert joined.close_code() == 1009


# --- What is no frame ---

WRONG = {
    "unmasked": b"\x81\x02{}",
    "a reserved bit": frame(TEXT, b"{}", first=0x40),
    "an unknown opcode": frame(0x3, b"{}"),
    "an unknown control frame": frame(0xB),
    "a ping in fragments": frame(PING, fin=False),
    "a ping over 125 bytes": frame(PING, b"a" * 126),
    "a fragment of nothing": frame(CONT, b"{}"),
    "a message in a message": frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
    "a close of one byte": frame(CLOSE, b"a"),
    "a close with a code that nobody may send": frame(CLOSE, (1005).to_bytes(2, "big")),
}


@pytest.mark.parametrize("sent", WRONG.values(), ids=WRONG)
def test_what_is_no_frame_closes_with_1002(server: Server, joined: Raw, sent: bytes) -> None:
    joined.send(sent)
    assert joined.close_code() == 1002
    assert_serves(server)


NO_UTF_8 = {
    "a byte": frame(TEXT, b'{"content": "\xff"}'),
    "a part of a character": frame(TEXT, b"\xe2\x82"),
    "a surrogate": frame(TEXT, b"\xed\xa0\x80"),
    "too long a spelling": frame(TEXT, b"\xc0\xaf"),
    "in a fragment": frame(TEXT, b"\xe2\x82", fin=False) + frame(CONT, b"\xff"),
    "in a close": frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff"),
}


@pytest.mark.parametrize("sent", NO_UTF_8.values(), ids=NO_UTF_8)
def test_what_is_no_utf_8_closes_with_1007_and_is_no_error_of_the_server(
    server: Server, joined: Raw, sent: bytes
) -> None:
    before = len(log(server))
    joined.send(sent)
    assert joined.close_code() == 1007
    assert_serves(server)
    assert [line for line in log(server)[before:] if "trace" in line or line["level"] == "ERROR"] == []


def test_a_character_may_be_torn_between_fragments(joined: Raw) -> None:
    joined.send(frame(TEXT, b'{"content": "\xe2\x82', fin=False) + frame(CONT, b'\xac"}'))
    assert joined.until("message_received")["content"] == "\u20ac"


def test_a_close_between_fragments_is_a_close(joined: Raw) -> None:
    # Autobahn 7.1.5. What comes after a close is not looked at.
    close = (1000).to_bytes(2, "big") + b"bye"
    joined.send(frame(TEXT, b"{", fin=False) + frame(CLOSE, close) + frame(CONT, b"}"))
    assert joined.frame() == (CLOSE, close)
    assert joined.rest() == b""


# --- Messages without end ---


@pytest.mark.parametrize(
    "sent",
    [frame(TEXT, b"a"), frame(TEXT), frame(BINARY), frame(TEXT, b'{"action":"ping"}'), frame(TEXT, b"{}")],
    ids=["letters", "empty texts", "empty data", "pings", "objects"],
)
def test_a_flood_of_messages_waits_at_its_client_and_others_are_served(
    server: Server, acme: Actor, sent: bytes
) -> None:
    with Raw(server) as client:
        client.join(acme, acme.new_chat())
        threading.Thread(target=client.drain, daemon=True).start()
        threading.Thread(target=client.flood, args=(sent * 10_000, FLOOD), daemon=True).start()
        for _ in range(5):
            with Raw(server) as other:
                other.join(acme, acme.new_chat())
                assert_answers(other)


def test_frames_over_the_rate_are_refused_and_the_socket_lives(server: Server, live: Callable[..., Actor]) -> None:
    tenant = live("Acme", ws_messages_per_second=10)
    with Raw(server) as client:
        client.join(tenant, tenant.new_chat())
        client.send(frame(TEXT, b'{"action":"ping"}') * 2000)
        answers = [client.event() for _ in range(2000)]
        refusals = [event for event in answers if event.get("error_code") == "RATE_LIMIT_EXCEEDED"]
        assert len(refusals) + len([event for event in answers if event["event_type"] == "pong"]) == 2000
        assert len(refusals) > 1900
