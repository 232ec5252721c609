"""Which rules of the tenant's hand a chat to a person, whoever its agent is?"""

from __future__ import annotations

from agents.contract import Request
from agents.terms import words

#: Who answers where a rule does: the built-in agent says that a person takes over, and no model is asked.
HANDS_OVER = "builtin"


def keyword_in(request: Request) -> str | None:
    """The first of the tenant's escalation keywords that the question says; None where it says none.

    A keyword is one word or several that follow each other. Whole words are compared, case folded.
    """
    said = _spaced(request.question)
    keywords = (keyword for keyword in request.policy.escalation_keywords if words(keyword))
    return next((keyword for keyword in keywords if _spaced(keyword) in said), None)


def who_answers(model: str, request: Request) -> str:
    """The model that answers: `model`, but HANDS_OVER where a rule of the tenant's wants a person."""
    return model if keyword_in(request) is None else HANDS_OVER


def escalation_by_failure(*, unanswered: int, after: int) -> str | None:
    """Why a person should take over where a reply failed or holds no answer, and `unanswered` did right before it.

    `after` is the tenant's `escalation_after`. None where the agent goes on.
    """
    empty = unanswered + 1
    if 0 < after <= empty:
        return f"{empty} {'replies in a row' if empty > 1 else 'reply'} without an answer."
    return None


def _spaced(text: str) -> str:
    return f" {' '.join(words(text))} "
