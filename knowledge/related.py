"""Which terms belong to the subject of a term?

Who asks about the border may mean what an article says about customs. Less sure than a synonym, so it counts less.
"""

from __future__ import annotations

from functools import lru_cache

from knowledge.analyzer import terms
from knowledge.languages import lines, primary


def related(term: str, tag: str) -> tuple[str, ...]:
    """The other terms of the subjects that a term belongs to."""
    return _subjects(primary(tag)).get(term, ())


@lru_cache(maxsize=64)
def _subjects(code: str) -> dict[str, tuple[str, ...]]:
    others: dict[str, dict[str, None]] = {}
    for line in lines(code, "related.txt"):
        subject = [term for entry in line.split(",") if len(entered := terms(entry, code)) == 1 for term in entered]
        for term in subject:
            others.setdefault(term, {}).update(dict.fromkeys(other for other in subject if other != term))
    return {term: tuple(found) for term, found in others.items()}
