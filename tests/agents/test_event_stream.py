"""Server-sent events out of bytes, wherever the bytes are cut."""

from __future__ import annotations

import pytest

from agents.providers.event_stream import MAX_LINE, EventStream, EventTooLong

#: No database decides it.
pytestmark = pytest.mark.once


def read(*chunks: bytes) -> list[bytes]:
    stream = EventStream()
    return [event for chunk in chunks for event in stream.feed(chunk)]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
        (b"data:one\n\n", [b"one"]),
        (b"data:  one \n\n", [b" one "]),
        (b": a comment\ndata: one\n: another\n\n", [b"one"]),
        (b": only a comment\n\n\n\n", []),
        (b"event: message\nid: 7\nretry: 10\ndata: one\n\n", [b"one"]),
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b"\n\ndata: one\n\n\n", [b"one"]),
        ("data: Grüße 🙂\n\n".encode(), ["Grüße 🙂".encode()]),
        (b"data: data: one\n\n", [b"data: one"]),
        (b"data: one\n", []),
        (b"data: one\n\ndata: tw", [b"one"]),
    ],
)
def test_events_are_the_same_wherever_the_bytes_are_cut(body: bytes, events: list[bytes]) -> None:
    assert read(body) == events
    assert read(*(body[at : at + 1] for at in range(len(body)))) == events
    for at in range(len(body)):
        assert read(body[:at], body[at:]) == events


def test_an_event_comes_with_the_chunk_that_ends_it() -> None:
    stream = EventStream()
    assert stream.feed(b"data: one\n") == []
    assert stream.feed(b"\ndata: t") == [b"one"]
    assert stream.feed(b"wo\n\n") == [b"two"]


def test_a_line_without_an_end_is_refused() -> None:
    stream = EventStream()
    assert stream.feed(b"x" * MAX_LINE) == []
    with pytest.raises(EventTooLong):
        stream.feed(b"x")


def test_a_long_event_in_many_chunks_is_whole() -> None:
    stream = EventStream()
    chunks = [b"data: ", *[b"x" * 2**16] * 64]
    assert [event for chunk in chunks for event in stream.feed(chunk)] == []
    assert stream.feed(b"\n\n") == [b"x" * 2**22]
