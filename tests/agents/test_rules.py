"""The tenant's rules: which messages and failures call a person."""

from __future__ import annotations

import pytest

from agents.contract import Policy, Request
from agents.rules import HANDOVER_AGENT, escalation_by_failure, keyword_in, who_answers

#: No database decides it.
pytestmark = pytest.mark.once


def request(question: str, *keywords: str) -> Request:
    return Request(question, policy=Policy(escalation_keywords=keywords))


@pytest.mark.parametrize(
    ("question", "keyword"),
    [
        ("I want a REFUND now", "refund"),
        ("refund", "Refund"),
        ("(refund!)", "refund"),
        ("Ich möchte eine RÜCKZAHLUNG", "rückzahlung"),
        ("Straße", "STRASSE"),
        ("I will take legal  action, now", "Legal action"),
        ("legal\naction", "legal action"),
    ],
)
def test_a_keyword_is_found_as_whole_words_in_any_case(question: str, keyword: str) -> None:
    assert keyword_in(request(question, keyword)) == keyword


@pytest.mark.parametrize(
    ("question", "keyword"),
    [("refundable", "refund"), ("legal or action", "legal action"), ("action legal", "legal action"), ("???", "??"),
     ("hello", ""), ("a suit", "sui")],
)  # fmt: skip
def test_parts_of_words_and_words_apart_are_no_keyword(question: str, keyword: str) -> None:
    assert keyword_in(request(question, keyword)) is None


def test_the_first_keyword_of_the_list_is_named() -> None:
    assert keyword_in(request("lawyer and refund", "zebra", "refund", "lawyer")) == "refund"


def test_no_model_is_asked_where_a_keyword_is_said() -> None:
    assert who_answers("openai:x", request("lawyer", "lawyer")) == HANDOVER_AGENT
    assert who_answers("openai:x", request("hello", "lawyer")) == "openai:x"
    assert who_answers("openai:x", request("hello")) == "openai:x"


def test_the_longest_message_is_searched_like_any_other() -> None:
    assert keyword_in(request("word " * 6400 + "lawyer", *(f"keyword {n}" for n in range(100)), "lawyer")) == "lawyer"


@pytest.mark.parametrize(("unanswered", "full"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_third_reply_without_an_answer_is_one_too_many(unanswered: int, full: bool) -> None:
    assert bool(escalation_by_failure(unanswered=unanswered, after=3)) is full


def test_a_tenant_may_never_give_up() -> None:
    assert escalation_by_failure(unanswered=99, after=0) is None
