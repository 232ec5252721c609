"""Which passages does the built-in agent quote, and how much of them?"""

from __future__ import annotations

from collections.abc import Sequence

from agents.builtin.intents import leans, questions_of
from agents.builtin.phrases import SAY
from knowledge.analyzer import term_set, terms
from knowledge.excerpts import Passage, answering

#: Longest quotation, in characters: about seventy words, which is what people read in a chat.
QUOTE_CHARACTERS = 450
#: A passage of so many characters, two or three sentences, is not trimmed, and what is trimmed grows to it.
BRIEF_CHARACTERS = 200
#: Two articles tie where the second scores so much of the first. Over the demo articles that is where people hesitate,
#: too ("How do I send something back?": returning or refunds), in 3 of 68 questions (tests/agents/questions.csv).
TIE = 0.97
#: A word of the title tells more of what an article answers than one of its body.
_TITLE_WEIGHT = 3


def known(passages: Sequence[Passage], threshold: float) -> list[Passage]:
    """The passages that are an answer, the best first."""
    return sorted((p for p in passages if p.score >= threshold), key=lambda passage: -passage.score)


def answers_of_two(question: str, passages: Sequence[Passage], threshold: float) -> list[tuple[Passage, str]]:
    """Where a message asks two things that two of the passages answer: each with its question. Else nothing.

    Half of a question can score half of it: so much is enough for one of the two.
    """
    parts = [part for part in questions_of(question) if terms(part)]
    passages = known(passages, threshold / 2)
    if len(parts) != 2 or len(passages) < 2:
        return []
    found = [max(passages, key=lambda passage: (_fit(passage, part), passage.score)) for part in parts]
    first, second = found
    one, other = parts
    # One that answers both alike answers alone.
    if max(first.score, second.score) < threshold:
        return []
    if _fit(first, one) <= _fit(second, one) or _fit(second, other) <= _fit(first, other):
        return []
    return [(first, one), (second, other)]


def tie(passages: Sequence[Passage]) -> bool:
    """Whether the best two passages, the best first, fit alike though they are about different things."""
    if len(passages) < 2:
        return False
    first, second = passages[:2]
    return second.score >= TIE * first.score and term_set(first.title, first.language) != term_set(
        second.title, second.language
    )


def quote(passage: Passage, question: str, *, own: str = "", said: str = "") -> str:
    """What of the passage answers the question, and where it is from.

    `own` is what the user wrote now, where `question` holds more. What was `said` before begins where that is answered.
    """
    text = _trim(passage, question, BRIEF_CHARACTERS)
    if own and text in said:
        text = text[max(0, text.find(_trim(passage, own, 0))) :]
    return f"{text}\n\n{SAY['source'].format(title=passage.title)}"


def _trim(passage: Passage, question: str, brief: int) -> str:
    asked = term_set(question, passage.language)
    # What the title says, all of the article is about.
    wanted = dict.fromkeys(asked - term_set(passage.title, passage.language) or asked, 1.0)
    return answering(
        passage.text, wanted, brief=brief, longest=QUOTE_CHARACTERS, leans=leans, language=passage.language
    )


def _fit(passage: Passage, question: str) -> int:
    title, text = term_set(passage.title, passage.language), term_set(passage.text, passage.language)
    asked = term_set(question, passage.language)
    return sum(_TITLE_WEIGHT * (term in title) + (term in text) for term in asked)
