"""What was said before that decides what a message means?

The built-in agent keeps no notes: what it asked and answered stands in the chat, and is read from there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from agents.contract import Turn
from agents.intents import bare, intent, is_follow_up, picked
from agents.phrases import SAY
from agents.terms import terms


def search_question(question: str, history: Sequence[Turn]) -> str:
    """The text to search for: the question, and where it makes sense only after one before, that as well.

    `history` holds the earlier turns of the chat, oldest first. Whoever takes up one of two articles that the
    agent asked about means their question before, and the article's title.
    """
    if (titles := chosen(question, history)) is not None:
        asked = search_question(history[-2].content, history[:-2])
        return "\n".join((asked, *titles))
    if is_follow_up(question) and intent(question, history) == "question":
        for index in range(len(history) - 1, -1, -1):
            before, earlier = history[index], history[:index]
            if before.role != "user":
                continue
            if chosen(before.content, earlier):
                return f"{search_question(before.content, earlier)}\n{question}"
            if intent(before.content, ()) == "question" and not is_follow_up(before.content):
                return f"{before.content}\n{question}"
    return question


def chosen(answer: str, history: Sequence[Turn]) -> tuple[str, ...] | None:
    """The titles that the answer takes up of the two the agent has just asked about, () for neither.

    None where the agent asked no such thing, or the answer is none to it.
    """
    titles = _asked_back(history[-1]) if len(history) > 1 and history[-2].role == "user" else None
    if titles is None:
        return None
    places = picked(answer)
    if places is not None:
        return tuple(titles[place] for place in places)
    said = set(terms(answer))
    first, second = (set(terms(title)) for title in titles)
    if not said or not said <= first | second:
        return None
    # Only what one of them says and the other does not tells them apart.
    hits = (len(said & (first - second)), len(said & (second - first)))
    if hits[0] == hits[1]:
        return None
    return (titles[0] if hits[0] > hits[1] else titles[1],)


def since_handed_over(history: Sequence[Turn]) -> Sequence[Turn]:
    """The turns after the agent last handed the chat to a person: what led there is settled."""
    for index in range(len(history) - 1, -1, -1):
        if history[index].role == "assistant" and SAY["hand_over"] in history[index].content:
            return history[index + 1 :]
    return history


def answers_before(question: str, history: Sequence[Turn]) -> list[str]:
    """What the agent replied when it was asked the same before, asking back included; oldest first."""
    same, meant = bare(question), bare(search_question(question, history))
    replies = []
    for index, (turn, reply) in enumerate(pairwise(history)):
        if (turn.role, reply.role) != ("user", "assistant"):
            continue
        # Who takes up what was offered goes on with the question that it was offered to.
        at = index if chosen(turn.content, history[:index]) is None else index - 2
        asked = history[at].content
        if same and bare(asked) == same and bare(search_question(asked, history[:at])) == meant:
            replies.append(reply.content)
    return replies


def asked_back(reply: str) -> bool:
    """Whether the agent only asked back with this."""
    return _WHICH.fullmatch(reply) is not None


def titles_quoted(replies: Sequence[str]) -> set[str]:
    """The titles of the articles that these replies quote."""
    return {title for reply in replies for title in _SOURCE.findall(reply)}


def was_frustrated(history: Sequence[Turn]) -> bool:
    """Whether the user has lost patience before."""
    return any(turn.role == "user" and intent(turn.content, ()) == "frustration" for turn in history)


def _asked_back(turn: Turn) -> tuple[str, str] | None:
    match = _WHICH.fullmatch(turn.content) if turn.role == "assistant" else None
    return (match["first"], match["second"]) if match else None


def _template(say: str) -> str:
    """What the agent says as a pattern that finds what was filled in."""
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(say))


_WHICH = re.compile(_template(SAY["which"]))
_SOURCE = re.compile(f"^{_template(SAY['source'])}$", re.MULTILINE)
