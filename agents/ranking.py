"""Which articles fit a question best, by what is known of its terms?

Okapi BM25 in whole numbers; only the logarithm of a weight is a float, and rounded. So the same rows give the same
scores on every database, to the last tie.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key")

#: A weight is kept in millionths, finer than any difference that means something.
SCALE = 1_000_000
#: How soon more of a term stops counting, and how much longer articles are held to it: k1 and b of BM25, in hundredths.
K1, B = 120, 75
#: What a term weighs that no article has, as a share of one that a single article has, in hundredths.
UNKNOWN = 50


#: Terms that have to be in an article together.
Alternative = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Concept:
    """What a question asks for once: any one of the alternatives will do."""

    alternatives: tuple[Alternative, ...]

    def frequency(self, frequencies: Mapping[str, int]) -> int:
        """How often an article speaks of it that uses the terms so often."""
        return sum(min(frequencies.get(term, 0) for term in each) for each in self.alternatives)

    @property
    def word(self) -> str:
        """The only term that it is; "" where there are several."""
        return self.alternatives[0][0] if len(self.alternatives) == len(self.alternatives[0]) == 1 else ""

    @property
    def terms(self) -> set[str]:
        """All terms that occur in it."""
        return {term for each in self.alternatives for term in each}


@dataclass(frozen=True, slots=True)
class Use(Generic[Key]):
    """An article uses a term so often, and has so many terms in all."""

    article: Key
    term: str
    frequency: int
    length: int


def concepts(terms: Sequence[str], synonyms: Iterable[Sequence[Sequence[str]]]) -> list[Concept]:
    """What a question of these terms asks for, each thing once.

    `synonyms` are groups of phrases, each phrase as its terms.
    """
    groups: dict[str, list[tuple[Alternative, Concept]]] = {}
    for group in synonyms:
        alternatives = tuple(dict.fromkeys(tuple(phrase) for phrase in group if phrase))
        for phrase in alternatives:
            groups.setdefault(phrase[0], []).append((phrase, Concept(alternatives)))
    found: dict[Concept, None] = {}
    position = 0
    while position < len(terms):
        fitting = [
            (phrase, concept)
            for phrase, concept in groups.get(terms[position], ())
            if tuple(terms[position : position + len(phrase)]) == phrase
        ]
        if fitting:
            longest = max(len(phrase) for phrase, _ in fitting)
            every = dict.fromkeys(a for p, concept in fitting if len(p) == longest for a in concept.alternatives)
            found[Concept(tuple(every))] = None
            position += longest
        else:
            found[Concept(((terms[position],),))] = None
            position += 1
    return list(found)


def weigh(
    wanted: Sequence[Concept], uses: Iterable[Use[Key]], *, articles: int
) -> tuple[dict[Concept, int], dict[Key, tuple[int, dict[Concept, int]]]]:
    """What each concept says about an article, and of each article its length and how often it speaks of which.

    A concept's weight is its inverse document frequency among `articles`.
    """
    of_article: dict[Key, tuple[int, dict[str, int]]] = {}
    for use in uses:
        of_article.setdefault(use.article, (use.length, {}))[1][use.term] = use.frequency
    spoken = {
        key: (length, {c: often for c in wanted if (often := c.frequency(frequencies))})
        for key, (length, frequencies) in of_article.items()
    }
    speak = Counter(concept for _, frequencies in spoken.values() for concept in frequencies)
    unknown = idf(articles, 1) * UNKNOWN // 100
    return {c: idf(articles, speak[c]) if speak[c] else unknown for c in wanted}, spoken


def idf(articles: int, frequency: int) -> int:
    """The weight of what so many articles speak of, in SCALE-ths."""
    return round(SCALE * math.log(1 + (articles - frequency + 0.5) / (frequency + 0.5)))


def scores(
    weights: Mapping[Concept, int], spoken: Mapping[Key, tuple[int, Mapping[Concept, int]]], *, average: int
) -> dict[Key, int]:
    """The BM25 of each article, whose terms are `average` in number on average.

    Each concept adds weight * f / (f + k1 * (1 - b + b * length / average)), here multiplied by 10,000 * average
    above and below the line, to stay within integers.
    """
    return {
        key: sum(
            weights[concept]
            * often
            * 10_000
            * average
            // (often * 10_000 * average + K1 * ((100 - B) * average + B * length))
            for concept, often in frequencies.items()
        )
        for key, (length, frequencies) in spoken.items()
    }
