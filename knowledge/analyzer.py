"""Which terms does a text hold, as search counts them?

A term is the stem of a word that carries meaning. Articles and questions go through the same function,
so that "Can I pay by credit card?" meets "Credit cards and other payments". What it costs grows as the text does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from knowledge.folding import MOST_CHARACTERS, fold
from knowledge.languages import Word, look_up

#: Longest term, in characters. Longer ones are cut, in articles and questions alike.
MAX_TERM = 64
#: So much of a word is looked up: no suffix stands further on, and what is looked up is remembered.
MAX_WORD = 2 * MAX_TERM
#: Longest text whose terms are remembered, in characters: the parts of articles, not what somebody sends.
REMEMBERED_CHARACTERS = 1000

# Python counts no vowel sign or accent that is a character of its own to a word.
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_WORD = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*")
#: The e of e-mail and e-book belongs to the word after it.
_E_WORD = re.compile(r"\be-(?=[^\W\d_])")
#: Scripts that are written without spaces: kana, Han, Hangul, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def words(text: str, most: int = MOST_CHARACTERS) -> list[str]:
    """The words of a text in order: runs of letters, digits and marks, NFKC, case folded.

    The first `most` characters of the text count.
    """
    return _WORD.findall(fold(text, most))


def terms(text: str, tag: str = "en", most: int = MOST_CHARACTERS) -> list[str]:
    """The terms of a text in order, repeats included; `tag` is the language tag of the text.

    Where nobody puts spaces between words, a term is two characters that follow each other. The first `most`
    characters of the text count.
    """
    plain = fold(text, most)
    if "e-" in plain:
        plain = _E_WORD.sub("e", plain)
    found = _WORD.findall(plain)
    if not plain.isascii():
        found = [part for word in found for part in _parts(word)]
    return _meant([look_up(word[:MAX_WORD], tag) for word in found])


def term_set(text: str, tag: str = "en") -> frozenset[str]:
    """The terms of a text, each once. Remembered, for the parts of articles that are quoted again and again."""
    return _remembered(text, tag) if len(text) <= REMEMBERED_CHARACTERS else frozenset(terms(text, tag))


@lru_cache(maxsize=2000)
def _remembered(text: str, tag: str) -> frozenset[str]:
    return frozenset(terms(text, tag))


def _parts(word: str) -> Iterator[str]:
    if word.isascii():
        yield word
        return
    end = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        characters = run[0]
        yield from (characters[i : i + 2] for i in range(max(1, len(characters) - 1)))
        end = run.end()
    if end < len(word):
        yield word[end:]


def _meant(found: list[Word]) -> list[str]:
    """The terms: a phrase is what it stands for, and words that say nothing are left out."""
    meant = []
    position = 0
    for index, word in enumerate(found):
        if index < position:
            continue
        for phrase, term in word.phrases:
            if len(phrase) <= len(found) - index and all(
                other.stem == stem for other, stem in zip(found[index : index + len(phrase)], phrase, strict=False)
            ):
                meant.append(term)
                position = index + len(phrase)
                break
        else:
            if word.term:
                meant.append(word.term[:MAX_TERM])
    return meant
