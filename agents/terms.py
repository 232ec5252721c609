"""Which terms does a text hold, as search counts them?

A term is the stem of a word that carries meaning. Articles and questions go through the same function,
so that "Can I pay by credit card?" meets "Credit cards and other payments".
What is known about English is data, in the folder of that name.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from agents.stemmer import stem

#: Longest term, in characters: the width of the column. Longer ones are cut, in articles and questions alike.
MAX_TERM = 64

_ENGLISH = Path(__file__).with_name("english")
_WORD = re.compile(r"[^\W_]+")


def _groups(name: str) -> list[list[str]]:
    """The lines of a file as lists of words."""
    return [line.split() for line in (_ENGLISH / name).read_text(encoding="utf-8").splitlines()]


#: Words that say nothing about a subject, what is left of contractions ("don't" is the words "don" and "t"), and
#: what questions to a help desk are wrapped in ("can you tell me", "how long").
STOP_WORDS = frozenset(word for line in _groups("stop_words.txt") for word in line)
#: Forms that no suffix rule brings to the word they belong to, which is the first of their line.
IRREGULAR = {form: line[0] for line in _groups("irregular.txt") for form in line[1:]}
#: Stems of words that mean the same to whoever asks a shop; the first word of a line stands for all of it.
SYNONYMS = {stem(word): stem(line[0]) for line in _groups("synonyms.txt") for word in line[1:]}


def words(text: str) -> list[str]:
    """The words of a text in order: runs of letters and digits, NFKC, case folded."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def terms(text: str) -> list[str]:
    """The terms of a text in order, repeats included."""
    stems = (stem(IRREGULAR.get(word, word)) for word in words(text) if word not in STOP_WORDS)
    return [SYNONYMS.get(term, term)[:MAX_TERM] for term in stems]
