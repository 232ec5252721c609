"""The terms of a text: which words count, and which count as the same."""

from __future__ import annotations

import pytest

from knowledge.analyzer import MAX_TERM, terms, words
from knowledge.languages import language, lines

#: No database decides it.
pytestmark = pytest.mark.once


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


@pytest.mark.parametrize(
    ("tag", "text", "other"),
    [
        ("de-AT", "Die Lieferungen sind kostenlos", "eine kostenlose Lieferung"),
        ("fr", "Les livraisons sont gratuites", "une livraison gratuite"),
        ("es", "¿Cuánto cuestan los envíos?", "cuesta un envío"),
        ("it", "Le spedizioni sono gratuite", "una spedizione gratuita"),
        ("nl", "De bestellingen worden verzonden", "een bestelling verzonden"),
        ("pt-BR", "As entregas são gratuitas", "uma entrega gratuita"),
        ("ru", "Доставка заказов", "доставки заказа"),
    ],
)
def test_forms_of_a_word_are_one_term_in_their_language(tag: str, text: str, other: str) -> None:
    assert set(terms(text, tag)) & set(terms(other, tag))
    assert set(terms(other, tag)) <= set(terms(text, tag))


@pytest.mark.parametrize("tag", ["xx", "tlh-Latn", ""])
def test_words_of_an_unknown_language_are_as_they_are(tag: str) -> None:
    assert terms("The returns were returned", tag) == ["the", "returns", "were", "returned"]


def test_a_phrase_is_what_it_stands_for() -> None:
    assert terms("I can't log in") == terms("I can't sign into it") == terms("login")


def test_e_mail_is_email() -> None:
    assert terms("E-mail") == terms("e‑mail") == terms("email")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("水", ["水"]),
        ("返品 iPhone15の返品", ["返品", "iphone15", "の返", "返品"]),
        ("배송", ["배송"]),
        ("คืน", ["คื", "ืน"]),
    ],
)
def test_where_nobody_puts_spaces_two_characters_are_a_term(text: str, expected: list[str]) -> None:
    assert terms(text, "ja") == expected


def test_a_vowel_sign_belongs_to_its_word() -> None:
    assert words("हिन्दी में") == ["हिन्दी", "में"]


LANGUAGES = ["de", "en", "es", "fr", "it", "nl", "pt"]


@pytest.mark.parametrize("tag", LANGUAGES)
def test_the_data_is_in_the_form_the_code_compares(tag: str) -> None:
    stops = language(tag).stop_words
    assert len(stops) > 100
    assert all(words(word) == [word] or "-" in word for word in stops)


def test_no_synonym_stands_for_another() -> None:
    english = language("en")
    assert len(english.synonyms) > 150
    assert not english.synonyms.keys() & set(english.synonyms.values())
    assert not {term for found in english.phrases.values() for _, term in found} & english.synonyms.keys()


def test_what_stands_for_synonyms_is_one_word() -> None:
    firsts = [line.split(",")[0] for line in lines("en", "synonyms.txt")]
    assert [first for first in firsts if len(first.split()) != 1] == []
