"""Which rules of the tenant's hand a chat to a person, with any agent?"""

from __future__ import annotations

from functools import lru_cache

from agents.contract import Request
from knowledge.analyzer import words

#: Who answers where a rule does: the built-in agent says that a person takes over, and no model is asked.
HANDOVER_AGENT = "builtin"


def keyword_in(request: Request) -> str | None:
    """The first of the tenant's escalation keywords that the question says; None where it says none.

    A keyword is one word or several that follow each other. Whole words are compared, case folded.
    """
    keywords = request.policy.escalation_keywords
    if not keywords:
        return None
    said = _spaced(request.question)
    wanted = zip(keywords, _keywords(keywords), strict=True)
    return next((keyword for keyword, spaced in wanted if spaced.strip() and spaced in said), None)


def who_answers(model: str, request: Request) -> str:
    """The model that answers: `model`, but HANDS_OVER where a rule of the tenant's wants a person."""
    return model if keyword_in(request) is None else HANDOVER_AGENT


def escalation_by_failure(*, unanswered: int, after: int) -> str | None:
    """Why a person should take over where a reply failed or holds no answer, and `unanswered` did right before it.

    `after` is the tenant's `escalation_after`. None where the agent goes on.
    """
    empty = unanswered + 1
    if 0 < after <= empty:
        return f"{empty} {'replies in a row' if empty > 1 else 'reply'} without an answer."
    return None


@lru_cache(maxsize=200)
def _keywords(keywords: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_spaced, keywords))


def _spaced(text: str) -> str:
    return f" {' '.join(words(text))} "
