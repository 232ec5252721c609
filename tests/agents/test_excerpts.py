"""The part of a text that answers a question."""

from __future__ import annotations

import pytest

from knowledge.analyzer import terms
from knowledge.excerpts import excerpt

#: No database decides it.
pytestmark = pytest.mark.once

TEXT = """\
Our shop sells lamps, tables and chairs. All of them are made of oak.

Lamps are delivered within a week. We send them by post.

Tables come with a carrier. He calls you before.
"""


def best(text: str, question: str, longest: int = 1000) -> str:
    return excerpt(text, dict.fromkeys(terms(question), 1.0), longest=longest)


def test_the_paragraph_with_most_of_the_terms_is_taken() -> None:
    assert best(TEXT, "Which carrier brings tables?") == "Tables come with a carrier. He calls you before."


def test_a_term_that_weighs_more_decides() -> None:
    weights = {**dict.fromkeys(terms("carrier tables"), 1.0), **dict.fromkeys(terms("post"), 3.0)}
    assert excerpt(TEXT, weights, longest=1000) == "Lamps are delivered within a week. We send them by post."


def test_of_equal_paragraphs_the_first_is_taken() -> None:
    assert best(TEXT, "lamps").startswith("Our shop sells")


def test_without_any_term_it_is_the_beginning() -> None:
    assert best(TEXT, "zebra").startswith("Our shop sells")


def test_a_heading_stays_with_its_paragraph_and_loses_its_marks() -> None:
    assert best("Intro.\n\n## Sundays\n\nWe are closed.\n\nOther.", "sunday") == "Sundays\n\nWe are closed."


def test_a_list_stays_with_what_leads_to_it() -> None:
    text = "Intro.\n\nWe accept:\n\n- Visa\n- PayPal\n\nOther."
    assert best(text, "PayPal") == "We accept:\n\n- Visa\n- PayPal"


def test_line_ends_of_a_browser_are_line_ends() -> None:
    assert best(TEXT.replace("\n", "\r\n"), "carrier") == "Tables come with a carrier. He calls you before."


def test_a_long_paragraph_is_trimmed_to_whole_sentences_around_the_best() -> None:
    text = "One is nothing. Two is nothing. The parcel is here. Three is nothing. Four is nothing."
    assert best(text, "parcel", longest=55) == "The parcel is here. Three is nothing. Four is nothing."
    assert best(text, "parcel", longest=40) == "The parcel is here. Three is nothing."


def test_the_last_sentence_takes_what_stands_before_it() -> None:
    text = "One is nothing. Two is nothing. The parcel is here."
    assert best(text, "parcel", longest=40) == "Two is nothing. The parcel is here."


def test_the_points_of_a_list_are_sentences() -> None:
    text = "We accept:\n" + "\n".join(f"- card number {number}" for number in range(20)) + "\n- cash in coins"
    assert best(text, "coins", longest=40) == "- card number 19\n- cash in coins"


@pytest.mark.parametrize("longest", [10, 20, 100])
def test_a_sentence_that_is_too_long_is_cut_after_a_word(longest: int) -> None:
    cut = best("parcel " * 100, "parcel", longest=longest)
    assert len(cut) <= longest
    assert cut.endswith("parcel…")


def test_a_word_that_is_too_long_is_cut() -> None:
    assert best("x" * 100, "x", longest=10) == "x" * 9 + "…"


@pytest.mark.parametrize("text", ["", " \n\n ", "# Only a heading", "Only a lead-in:"])
def test_a_text_without_a_paragraph_is_no_failure(text: str) -> None:
    assert best(text, "heading") == text.strip("# \n")


def test_a_text_of_nothing_but_marks_takes_no_time() -> None:
    assert len(best("." * 200_000, "parcel", longest=100)) == 100
