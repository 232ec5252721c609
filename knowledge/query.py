"""What does a question ask for, in the words of a language and of a tenant?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from knowledge.analyzer import terms
from knowledge.languages import language
from knowledge.ranking import Alternative, Concept
from knowledge.related import related as related_terms
from knowledge.spelling import neighbours

#: Different things of a question that are looked for: a long message is judged by its beginning.
MAX_CONCEPTS = 50
#: So much of a question is read for them, in characters: the longest message unless the tenant allows longer ones.
READ_CHARACTERS = 32_000


def concepts(question: str, tag: str, synonyms: Iterable[Sequence[str]]) -> list[Concept]:
    """What a question in a language asks for, each thing once, MAX_CONCEPTS at most.

    `synonyms` are the tenant's: groups of words and phrases that mean the same.
    """
    asked = terms(question, tag, READ_CHARACTERS)
    phrases, lengths = _groups(synonyms, tag)
    found: dict[Concept, None] = {}
    position = 0
    while position < len(asked) and len(found) < MAX_CONCEPTS:
        begun = (tuple(asked[position : position + length]) for length in lengths.get(asked[position], ()))
        phrase = next((phrase for phrase in begun if phrase in phrases), None)
        if phrase is not None:
            found[Concept(tuple(phrases[phrase]))] = None
            position += len(phrase)
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
) -> tuple[dict[Alternative, dict[Alternative, None]], dict[str, list[int]]]:
    """Each phrase with all that mean the same, and how long those are that begin with a term, the longest first."""
    phrases: dict[Alternative, dict[Alternative, None]] = {}
    lengths: dict[str, set[int]] = {}
    for group in synonyms:
        alternatives = dict.fromkeys(alternative for each in group if (alternative := tuple(terms(each, tag))))
        for phrase in alternatives:
            phrases.setdefault(phrase, {}).update(alternatives)
            lengths.setdefault(phrase[0], set()).add(len(phrase))
    return phrases, {term: sorted(found, reverse=True) for term, found in lengths.items()}
