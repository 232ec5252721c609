"""Text that is cut, told again or begun anew: the parser and the text of a reply, at every cut point."""

from __future__ import annotations

import pytest

from lexicon_client.sse import SseEvent, SseParser
from lexicon_client.text import Text, Token

#: No database decides it.
pytestmark = pytest.mark.once

STREAM = (
    'id: 1\ndata: {"type":"delta","text":"Grüße 👋🏽"}\n\n'
    ": ping\n\n"
    "id: 2\ndata: a\ndata:b\nevent: x\nunknown\n\n"
    "data: same id\n\n"
    "id: 3\n\n"
    "id: 4\ndata: [DONE]\n\n"
).encode()
EVENTS = [
    SseEvent('{"type":"delta","text":"Grüße 👋🏽"}', "1"),
    SseEvent("a\nb", "2"),
    SseEvent("same id", "2"),
    SseEvent("[DONE]", "4"),
]


def read(*chunks: bytes) -> list[SseEvent]:
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_stream_says_the_same_at_every_split_point(line_end: bytes, start: bytes) -> None:
    stream = start + STREAM.replace(b"\n", line_end)
    assert read(stream) == EVENTS
    for first in range(len(stream) + 1):
        assert read(stream[:first], stream[first:]) == EVENTS, first
        for second in range(first, min(first + 4, len(stream) + 1)):
            assert read(stream[:first], stream[first:second], stream[second:]) == EVENTS, (first, second)
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == EVENTS


def test_an_event_that_is_cut_is_none() -> None:
    assert read(b"data: one\n\ndata: tw") == [SseEvent("one", None)]


def shown(tokens: list[Token]) -> str:
    """What a caller has who does as documented."""
    text = ""
    for token in tokens:
        text = token if token.restart else text + token
    return text


FIRST = "one two three"


@pytest.mark.parametrize("again", [FIRST, "one two four", "one", "other", "", "one two three and more"])
@pytest.mark.parametrize("cut", range(len(FIRST) + 1))
def test_a_text_begun_anew_never_doubles_and_never_gaps(cut: int, again: str) -> None:
    text = Text()
    text.begin()
    tokens = text.add(FIRST[:cut])
    text.begin()
    for character in again:
        tokens += text.add(character)
    tokens += text.end(again)
    assert shown(tokens) == text.shown == again
    if again.startswith(FIRST[:cut]):
        assert not any(token.restart for token in tokens)


def test_a_text_without_a_known_whole_ends_with_what_was_told() -> None:
    text = Text()
    tokens = text.add("one two")
    text.begin()
    tokens += text.add("one")
    assert shown(tokens) == "one two"
    assert shown(tokens + text.finish()) == "one"


def test_a_text_told_twice_over_two_cuts_is_told_once() -> None:
    text = Text()
    tokens = text.add("one two")
    text.begin()
    text.add("one")
    text.begin()
    tokens += text.add("one two") + text.add(" three") + text.finish()
    assert [*map(str, tokens)] == ["one two", " three"]
