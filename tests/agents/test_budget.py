"""As much of a chat as fits."""

from __future__ import annotations

import pytest

from agents.budget import newest, tokens
from agents.contract import Turn

#: No database decides it.
pytestmark = pytest.mark.once


def turn(role: str, content: str = "abcd") -> Turn:
    """A turn of five tokens: one of text, four of its own."""
    return Turn(role, content)  # type: ignore[arg-type]


CHAT = [turn("user"), turn("assistant"), turn("user"), turn("assistant")]


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("Привет", 3), ("你好", 2), ("🙂", 1), ("\ud800", 1)],
)
def test_tokens_are_a_quarter_of_the_bytes(text: str, count: int) -> None:
    assert tokens(text) == count


@pytest.mark.parametrize(("most", "kept"), [(0, 0), (9, 0), (10, 2), (19, 2), (20, 4), (10**6, 4)])
def test_the_newest_are_kept_and_no_answer_without_its_question(most: int, kept: int) -> None:
    assert newest(CHAT, most) == tuple(CHAT[len(CHAT) - kept :])


def test_nothing_older_than_what_did_not_fit_is_told() -> None:
    chat = [turn("user"), turn("assistant"), turn("user", "x" * 400), turn("assistant"), *CHAT]
    assert newest(chat, 100) == tuple(CHAT)


def test_what_nobody_asked_for_stands_at_the_beginning() -> None:
    chat = [turn("assistant"), *CHAT]
    assert newest(chat, 25) == tuple(chat)
    assert newest(chat, 24) == tuple(CHAT)


def test_without_turns_there_are_none() -> None:
    assert newest([], 10) == ()
