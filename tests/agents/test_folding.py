"""How a text is made comparable, and what no text can make it cost."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from agents.builtin.dialogue_state import answers_before
from agents.builtin.intents import intent
from agents.contract import Policy, Request, Turn
from agents.rules import keyword_in
from knowledge import folding
from knowledge.analyzer import MAX_TERM, terms, words
from knowledge.folding import MOST_MARKS, fold
from knowledge.query import concepts

#: No database decides it.
pytestmark = pytest.mark.once

TEXTS = {
    "Arabic": "إِنَّ اللَّهَ مُحَمَّدٌ ﷺ رَسُولُهُ",
    "Chinese": "退货需要多少天？ＡＢＣ",
    "Devanagari": "क़ानून में हिन्दी है",
    "German": "Straße und Größe, ŉ ﬁn",
    "Greek": "Οδυσσεύς ΐ ᾳ",
    "Hebrew": "בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "Hangul in parts": unicodedata.normalize("NFD", "배송은 며칠"),
    "kana of half width": "ｶﾞｷﾞｸﾞ ﾊﾟ",
    "Thai": "ที่นี่มีของขายน้ำ",
    "Tibetan": "བཀྲ་ཤིས་བདེ་ལེགས། ཧཱུྃ",
    "Vietnamese": unicodedata.normalize("NFD", "Trả lại hàng ở đâu ngữ"),
    "what is stacked for fun": "Z" + "\u0335\u0321\u0301" * 10 + "algo",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_of_any_language_is_nfkc_and_case_folded(text: str) -> None:
    for many in (text, text * 500):
        assert fold(many) == unicodedata.normalize("NFKC", many).casefold()


@pytest.mark.parametrize("mark", ["\u0301", "\u0f81", "\u05b8", "\u0651", "\u094d", "\uff9e", "\U0001d165"])
@pytest.mark.parametrize("before", ["", "a", "word and word", "x" * 29, "x" * 30, "x" * 31])
def test_of_a_run_of_marks_the_first_stand(before: str, mark: str) -> None:
    for more in (1, 2, MOST_MARKS, MOST_MARKS + 1, 5000):
        whole = fold(f"{before}{mark * (MOST_MARKS + more)}b {mark}c")
        assert whole == fold(f"{before}{mark * MOST_MARKS}b {mark}c")


def test_all_that_is_sorted_is_known() -> None:
    characters = map(chr, (code for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000))
    expected = {each for each in characters if unicodedata.combining(unicodedata.normalize("NFKD", each)[0])}
    assert expected == folding._NON_STARTERS


def test_a_bounded_part_of_a_text_counts_before_and_after() -> None:
    assert fold("ab" * 10, 5) == "ababa"
    assert fold("\u2026" * 10, 5) == "....."
    assert len(fold("\ufdfa" * 200_000)) <= folding.MOST_CHARACTERS


def test_a_text_of_one_ligature_is_no_longer_than_others() -> None:
    assert fold("\ufdfa") == unicodedata.normalize("NFKC", "\ufdfa")
    assert len(fold("\ufdfa" * 32_000)) < 4 * 32_000


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0f81" * 31_999,
        "a" + "\u0301\u0316\u0345" * 10_000,
        "\u0628" + "\u0651\u064b" * 16_000,
        "\ufdfa" * 32_000,
    ],
)
def test_the_message_that_froze_a_process_is_a_message(text: str) -> None:
    request = Request(f"{text} refund", policy=Policy(escalation_keywords=("refund",)))
    assert keyword_in(request) == "refund"
    assert intent(text, ()) == "question"
    assert answers_before(text, (Turn("user", text), Turn("assistant", "a1"))) == ["a1"]
    assert concepts(text, "ar", [])


def test_a_word_without_an_end_is_not_remembered_whole() -> None:
    assert terms("b" * 100_000) == ["b" * MAX_TERM]
    assert words("b" * 1000) == ["b" * 1000]
