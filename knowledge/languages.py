"""What is known about a language: how its words are stemmed, which of them say nothing, and which mean the same?

Stems are Snowball's (https://snowballstem.org). The rest is data, in `knowledge/words/<language>/`: `stop_words.txt`,
and where somebody wrote them `irregular.txt` (a word, then forms of it that no suffix rule brings to it),
`synonyms.txt` (a group a line, separated by commas; the first stands for all of them), `weak_words.txt` (words of every
subject, which say little) and `related.txt` (words of one subject in a line: who asks with one of them may mean what
was written with another; knowledge/related.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import local

import Stemmer

_FOLDER = Path(__file__).with_name("words")

#: Snowball's name of each language it stems, by the first part of a language tag (BCP 47).
ALGORITHMS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}

#: Stems of a text's words in order, as a phrase is compared.
Stems = tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """What `terms` needs to know."""

    code: str
    stop_words: frozenset[str] = frozenset()
    #: Stems.
    weak_words: set[str] = field(default_factory=set)
    irregular: dict[str, str] = field(default_factory=dict)
    #: Stem to stem.
    synonyms: dict[str, str] = field(default_factory=dict)
    #: The first stem of each phrase, to the phrases that begin with it, the longest first, and what they stand for.
    phrases: dict[str, list[tuple[Stems, str]]] = field(default_factory=dict)

    def stem(self, word: str) -> str:
        """The stem of a word, which is case folded. A language nobody knows has words as they are."""
        return _stem(self.code, self.irregular.get(word, word))


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a language."""

    stem: str
    #: The term that stands for it; "" where it says nothing.
    term: str
    #: The phrases that begin with it, the longest first.
    phrases: tuple[tuple[Stems, str], ...]


def primary(tag: str) -> str:
    """The language of a tag: of de-AT it is de."""
    return tag.replace("_", "-").split("-")[0].casefold()


@lru_cache(maxsize=256)
def language(tag: str) -> Language:
    """What is known about the language of a tag."""
    code = primary(tag)
    if code not in ALGORITHMS:
        return Language(code)
    known = Language(
        code,
        stop_words=frozenset(word for line in lines(code, "stop_words.txt") for word in line.split()),
        irregular={form: forms[0] for forms in map(str.split, lines(code, "irregular.txt")) for form in forms[1:]},
    )
    known.weak_words.update(known.stem(word) for line in lines(code, "weak_words.txt") for word in line.split())
    for line in lines(code, "synonyms.txt"):
        first, *others = [tuple(map(known.stem, phrase.split())) for phrase in line.split(",")]
        for phrase in others:
            if phrase == first:
                continue
            if len(phrase) == 1:
                known.synonyms[phrase[0]] = first[0]
            else:
                known.phrases.setdefault(phrase[0], []).append((phrase, first[0]))
    for phrases in known.phrases.values():
        phrases.sort(key=lambda each: -len(each[0]))
    return known


@lru_cache(maxsize=50_000)
def look_up(word: str, tag: str) -> Word:
    """What is known of a word, which is case folded."""
    known = language(tag)
    stem = known.stem(word)
    term = "" if word in known.stop_words else known.synonyms.get(stem, stem)
    return Word(stem, term, tuple(known.phrases.get(stem, ())))


def lines(code: str, name: str) -> list[str]:
    """The lines of a file of data about a language; none where there is no such file."""
    path = _FOLDER / code / name
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


# A stemmer of Snowball's keeps the word it works on in itself.
_threads = local()


def _stem(code: str, word: str) -> str:
    if code not in ALGORITHMS:
        return word
    stemmers: dict[str, Stemmer.Stemmer] = _threads.__dict__.setdefault("stemmers", {})
    if code not in stemmers:
        # It keeps no words itself: `look_up` does, for all threads.
        stemmers[code] = Stemmer.Stemmer(ALGORITHMS[code], 0)
    return str(stemmers[code].stemWord(word))
