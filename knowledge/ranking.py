"""Which articles fit a question best, by what is known of their terms?

Okapi BM25 in whole numbers; only the logarithm of a weight is a float, and rounded. So the same articles give the same
scores everywhere, to the last tie.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

#: A weight is kept in millionths, finer than any difference that means something.
SCALE = 1_000_000
#: How soon more of a term stops counting, and how much longer articles are held to it: k1 and b of BM25, in hundredths.
#: These and the shares below were chosen on the tune halves of benchmarks/knowledge.
K1, B = 300, 60
#: What a term weighs that no article has, as a share of one that a single article has, in hundredths.
UNKNOWN = 120
#: What a term counts that only belongs to the same subject, in hundredths.
RELATED = 75
#: What a weak word weighs, in hundredths.
WEAK = 40
#: Of so many things a question is, as it were; who asks at greater length tells a story, and is answered as well.
ENOUGH = 3

#: Places of a ranking that count when it is fused with another.
FUSED = 20

Key = TypeVar("Key", bound="_Ordered")

#: Terms that have to be in an article together.
Alternative = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Concept:
    """What a question asks for once: any of the alternatives will do, and what is related is better than nothing."""

    alternatives: tuple[Alternative, ...]
    related: tuple[str, ...] = ()
    is_weak: bool = False

    @property
    def word(self) -> str:
        """The only term that it is; "" where there are several."""
        return self.alternatives[0][0] if len(self.alternatives) == len(self.alternatives[0]) == 1 else ""

    @property
    def terms(self) -> dict[str, float]:
        """All its terms, and what each counts where a passage is chosen, 1 at most."""
        share = WEAK / 100 if self.is_weak else 1.0
        own = dict.fromkeys((term for each in self.alternatives for term in each), share)
        return dict.fromkeys(self.related, share * RELATED / 100) | own


class _Ordered(Protocol):
    """What can be sorted."""

    def __lt__(self, other: Any, /) -> bool: ...


class Index(Protocol):
    """What is known of the terms of some articles, which have numbers here."""

    @property
    def lengths(self) -> Mapping[int, int]:
        """Of each article, how many terms it has."""
        ...

    @property
    def average(self) -> int:
        """How many they have on average, 1 at least."""
        ...

    def uses(self, term: str) -> Mapping[int, int]:
        """How often each of the articles uses the term that uses it."""
        ...


def rank(wanted: Iterable[Concept], index: Index) -> dict[int, float]:
    """The score of each article that has to do with what is wanted: its BM25, as a share (0 to 1) of what an article
    would get that speaks of nothing but all of it. Of more than ENOUGH things, so many average ones
    are all, and the share may be more than 1.

    Each concept adds weight * f / (f + k1 * (1 - b + b * length / average)), here multiplied by 10,000 * average
    above and below the line, to stay within integers.
    """
    scores: dict[int, int] = {}
    articles, average = len(index.lengths), index.average
    weights = []
    for concept in wanted:
        own = _own(concept, index)
        related = _related(concept, index)
        known = len(own) or len(related)
        weight = _weight(articles, known) if known else _weight(articles, 1) * UNKNOWN // 100
        weight = weight * (WEAK if concept.is_weak else 100) // 100
        less = min(weight, _weight(articles, len(related))) * RELATED // 100
        weights.append(weight)
        for counts, frequencies in ((weight, own), (less, related)):
            for article, frequency in frequencies.items():
                if frequencies is related and article in own:
                    continue
                above = frequency * 10_000 * average
                held = K1 * ((100 - B) * average + B * index.lengths[article])
                scores[article] = scores.get(article, 0) + counts * above // (above + held)
    most = sum(weights) * min(ENOUGH, len(weights)) // max(1, len(weights))
    return {article: score / most for article, score in scores.items() if score}


def _weight(articles: int, frequency: int) -> int:
    """What something says about an article of which so many articles speak: its inverse document frequency."""
    return round(SCALE * math.log(1 + (articles - frequency + 0.5) / (frequency + 0.5)))


def _own(concept: Concept, index: Index) -> Mapping[int, int]:
    """How often each article speaks of the concept itself."""
    if concept.word:
        return index.uses(concept.word)
    frequencies: dict[int, int] = {}
    for alternative in concept.alternatives:
        first, *others = [index.uses(term) for term in alternative]
        for article, frequency in first.items():
            together = min([frequency, *(other.get(article, 0) for other in others)])
            if together:
                frequencies[article] = frequencies.get(article, 0) + together
    return frequencies


def _related(concept: Concept, index: Index) -> dict[int, int]:
    """How often each article speaks of what is related."""
    frequencies: dict[int, int] = {}
    for term in concept.related:
        for article, frequency in index.uses(term).items():
            frequencies[article] = frequencies.get(article, 0) + frequency
    return frequencies


def fuse(*rankings: Mapping[Key, float]) -> list[Key]:
    """What any of the rankings knows, the best first: each gives 1 / (60 + place) to the FUSED it likes best.

    Reciprocal rank fusion, with the constant of its paper (Cormack, Clarke and Büttcher 2009).
    """
    sums: dict[Key, float] = {}
    for ranking in rankings:
        best = sorted(ranking, key=lambda key: (-ranking[key], key))[:FUSED]
        for place, key in enumerate(best, start=1):
            sums[key] = sums.get(key, 0.0) + 1 / (60 + place)
    return sorted(sums, key=lambda key: (-sums[key], key))
