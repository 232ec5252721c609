"""The terms of a text: which words count, and which count as the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.stemmer import stem
from agents.terms import IRREGULAR, MAX_TERM, STOP_WORDS, SYNONYMS, terms, words

#: The examples that Porter's paper gives, in its order.
PAPER = [line.split() for line in Path(__file__).with_name("porter.txt").read_text().splitlines()]


@pytest.mark.parametrize(("word", "expected"), PAPER)
def test_a_stem_is_what_the_paper_says(word: str, expected: str) -> None:
    assert stem(word) == expected


@pytest.mark.parametrize("word", ["", "a", "is", "größer", "42nd", "日本語"])
def test_what_is_no_english_word_is_its_own_stem(word: str) -> None:
    assert stem(word) == word


def test_forms_of_a_word_are_one_term() -> None:
    assert len(set(terms("return returns returned returning"))) == 1


def test_irregular_forms_belong_to_their_word() -> None:
    assert terms("sent paid delivery") == terms("send pay deliver")


def test_synonyms_are_one_term() -> None:
    assert terms("The courier lost my packages") == terms("carriers lose a parcel")


def test_stop_words_are_left_out() -> None:
    assert terms("Could you please tell me what it is that you don't like about this?") == []


def test_order_and_repeats_are_kept() -> None:
    assert terms("parcel, address, parcel") == ["parcel", "address", "parcel"]


def test_case_and_width_of_letters_do_not_matter() -> None:
    assert words("ＰａｙＰａｌ STRASSE Straße") == ["paypal", "strasse", "strasse"]


@pytest.mark.parametrize("text", ["", "   ", "?!", "…", "👩‍💻", "___"])
def test_a_text_without_words_has_no_terms(text: str) -> None:
    assert terms(text) == []


def test_a_long_word_is_cut_to_what_the_column_holds() -> None:
    assert terms("1" * 1000) == ["1" * MAX_TERM]


def test_other_scripts_are_words_too() -> None:
    assert words("Где мой заказ?") == ["где", "мой", "заказ"]


def test_the_data_is_in_the_form_the_code_compares() -> None:
    data = [*STOP_WORDS, *IRREGULAR, *IRREGULAR.values(), *SYNONYMS, *SYNONYMS.values()]
    assert len(data) > 300
    assert all(words(word) == [word] for word in data)


def test_no_synonym_stands_for_another() -> None:
    assert not SYNONYMS.keys() & SYNONYMS.values()
