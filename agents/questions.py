"""What does a question ask for, in the words of a language and of a tenant?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.languages import language
from agents.ranking import Alternative, Concept
from agents.related import related as related_terms
from agents.spelling import neighbours
from agents.terms import terms

#: Different things of a question that are looked for: a long message is judged by its beginning.
MAX_CONCEPTS = 50


def concepts(question: str, tag: str, synonyms: Iterable[Sequence[str]]) -> list[Concept]:
    """What a question in a language asks for, each thing once, MAX_CONCEPTS at most.

    `synonyms` are the tenant's: groups of words and phrases that mean the same.
    """
    asked = terms(question, tag)
    groups = _groups(synonyms, tag) if synonyms else {}
    found: dict[Concept, None] = {}
    position = 0
    while position < len(asked) and len(found) < MAX_CONCEPTS:
        fitting = [
            (len(phrase), group)
            for phrase, group in groups.get(asked[position], ())
            if tuple(asked[position : position + len(phrase)]) == phrase
        ]
        if fitting:
            longest = max(length for length, _ in fitting)
            found[Concept(tuple(dict.fromkeys(each for n, group in fitting if n == longest for each in group)))] = None
            position += longest
        else:
            found[concept(asked[position], tag)] = None
            position += 1
    return list(found)


def concept(term: str, tag: str, *, related: bool = True) -> Concept:
    """What is asked for with a term."""
    return Concept(((term,),), related_terms(term, tag) if related else (), term in language(tag).weak_words)


def slips(term: str, tag: str) -> set[str]:
    """The terms that may have been meant by one that nobody uses."""
    synonyms = language(tag).synonyms
    return {synonyms.get(near, near) for near in neighbours(term)}


def _groups(
    synonyms: Iterable[Sequence[str]], tag: str
) -> dict[str, list[tuple[Alternative, tuple[Alternative, ...]]]]:
    """The phrases that begin with a term, each with all that mean the same."""
    groups: dict[str, list[tuple[Alternative, tuple[Alternative, ...]]]] = {}
    for group in synonyms:
        alternatives = tuple(dict.fromkeys(alternative for each in group if (alternative := tuple(terms(each, tag)))))
        for phrase in alternatives:
            groups.setdefault(phrase[0], []).append((phrase, alternatives))
    return groups
