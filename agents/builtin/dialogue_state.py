"""What was said before that decides what a message means?

The built-in agent keeps no notes: what it asked and answered stands in the chat, and is read from there. Each turn is
judged once, and as `agents.builtin.intents` judges a message: by a bounded part of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from agents.builtin.intents import SHORT_CHARACTERS, bare, intent, is_follow_up, picked
from agents.builtin.phrases import SAY
from agents.contract import Turn
from knowledge.analyzer import terms

#: Longest title of an article, in characters (knowledge/models.py).
TITLE_CHARACTERS = 200


def search_question(question: str, history: Sequence[Turn]) -> str:
    """The text to search for: the question, and where it makes sense only after one before, that as well.

    `history` holds the earlier turns of the chat, oldest first. Whoever takes up one of two articles that the
    agent asked about means their question before, and the article's title.
    """
    if chosen(question, history) is None and not _goes_on(question, history):
        return question
    return _search_questions([*history, Turn("user", question)])[-1]


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
    if len(answer) > SHORT_CHARACTERS:
        return None
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
    same = bare(question)
    if not same:
        return []
    before = []
    for index, (turn, reply) in enumerate(pairwise(history)):
        if (turn.role, reply.role) != ("user", "assistant"):
            continue
        # Who takes up what was offered goes on with the question that it was offered to.
        at = index if chosen(turn.content, history[max(0, index - 2) : index]) is None else index - 2
        if bare(history[at].content) == same:
            before.append((at, reply.content))
    if not before:
        return []
    *earlier, meant = map(bare, _search_questions([*history, Turn("user", question)]))
    return [reply for at, reply in before if earlier[at] == meant]


def asked_back(reply: str) -> bool:
    """Whether the agent only asked back with this."""
    return _WHICH.fullmatch(reply) is not None


def titles_quoted(replies: Sequence[str]) -> set[str]:
    """The titles of the articles that these replies quote."""
    return {title for reply in replies for title in _SOURCE.findall(reply)}


def was_frustrated(history: Sequence[Turn]) -> bool:
    """Whether the user has lost patience before."""
    return any(turn.role == "user" and intent(turn.content, ()) == "frustration" for turn in history)


def _search_questions(turns: Sequence[Turn]) -> list[str]:
    """The text to search for with each of the turns; those of the agent search for nothing."""
    texts: list[str] = []
    # What a follow-up goes on with.
    last: str | None = None
    for index, turn in enumerate(turns):
        text, before = turn.content, turns[max(0, index - 2) : index]
        texts.append(text)
        if turn.role != "user":
            continue
        titles = chosen(text, before)
        if titles is not None:
            texts[-1] = "\n".join((texts[-3], *titles))
        elif last is not None and _goes_on(text, before):
            texts[-1] = f"{last}\n{text}"
        if titles:
            last = texts[-1]
        elif not is_follow_up(text) and intent(text, ()) == "question":
            last = text
    return texts


def _goes_on(question: str, history: Sequence[Turn]) -> bool:
    """Whether the question only makes sense after one before it."""
    return is_follow_up(question) and intent(question, history) == "question"


def _asked_back(turn: Turn) -> tuple[str, str] | None:
    match = _WHICH.fullmatch(turn.content) if turn.role == "assistant" else None
    return (match["first"], match["second"]) if match else None


def _template(say: str) -> str:
    """What the agent says as a pattern that finds what was filled in."""
    return re.sub(r"\\\{(\w+)\\\}", rf"(?P<\1>.{{1,{TITLE_CHARACTERS}}}?)", re.escape(say))


_WHICH = re.compile(_template(SAY["which"]))
_SOURCE = re.compile(f"^{_template(SAY['source'])}$", re.MULTILINE)
