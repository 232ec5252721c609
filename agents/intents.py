"""What does a message want: small talk, a person, or an answer?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

from agents import phrases
from agents.contract import Turn
from agents.terms import terms, words

Intent = Literal["greeting", "thanks", "farewell", "identity", "person", "no", "question"]

#: Longest small talk, in words: whoever writes more has something to say.
SMALL_TALK_WORDS = 12
#: A follow-up has at most this many terms of its own; whatever has more can be searched for by itself.
FOLLOW_UP_TERMS = 2
#: The same where only a word points back: "it" often points nowhere ("Is it possible to pay in cash?").
POINTING_TERMS = 1
#: How far before a phrase its denial is looked for: longer than any, and short enough for a message of any length.
NOT_WANTED_CHARACTERS = 40

_TOKEN = re.compile(r"\{(?P<list>\w+)\}|(?P<mark>[()\[\]|])|(?P<word>[^\s{}()\[\]|]+)")
_MARKS = {"(": "(?:", "[": "(?:", "|": "|", ")": ")", "]": ")?"}


def intent(question: str, history: Sequence[Turn]) -> Intent:
    """What the question wants, given what was said before."""
    said = _plain(question)
    if _wants_person(said):
        return "person"
    if said.count(" ") > SMALL_TALK_WORDS:
        return "question"
    if _was_offered_a_person(history):
        if _NO.fullmatch(said):
            return "no"
        if _YES.fullmatch(said):
            return "person"
    for kind, pattern in _SMALL_TALK.items():
        if pattern.fullmatch(said):
            return kind
    return "question"


def is_follow_up(question: str) -> bool:
    """Whether a question only makes sense after the one before it: "And on Sunday?", "How much is it?"."""
    own = len(set(terms(question)))
    if _FOLLOW_UP.match(_plain(question)):
        return own <= FOLLOW_UP_TERMS
    return own <= (POINTING_TERMS if phrases.POINTERS & set(words(question)) else 0)


def _wants_person(said: str) -> bool:
    if said.count(" ") <= SMALL_TALK_WORDS and _PERSON_ALONE.fullmatch(said):
        return True
    return any(
        not _NOT_WANTED.search(said, max(0, match.start() - NOT_WANTED_CHARACTERS), match.start())
        for match in _PERSON.finditer(said)
    )


def _was_offered_a_person(history: Sequence[Turn]) -> bool:
    return bool(history) and history[-1].role == "assistant" and history[-1].content.endswith(phrases.SAY_OFFER)


def _plain(text: str) -> str:
    """The words of a text, each with a space after it, and without apostrophes, as many people type."""
    return "".join(word + " " for word in words(re.sub("['’]", "", text)))


def _pattern(phrase: str) -> str:
    """The notation of `agents.phrases` as a regular expression over plain words."""
    pattern = ""
    for match in _TOKEN.finditer(phrase):
        if match["list"]:
            pattern += _any_of(phrases.LISTS[match["list"]])
        else:
            pattern += _MARKS[match["mark"]] if match["mark"] else _plain(match["word"])
    return pattern


def _any_of(group: Iterable[str]) -> str:
    return "(?:" + "|".join(map(_pattern, group)) + ")"


def _somewhere(group: Iterable[str]) -> re.Pattern[str]:
    return re.compile(r"(?<!\S)" + _any_of(group))


def _only(group: list[str], *around: list[str]) -> re.Pattern[str]:
    """Fits where at least one phrase of the group is said, and nothing besides it but fillers and what is around."""
    others = _any_of(chain(phrases.FILLERS, *around))
    return re.compile(f"{others}*{_any_of(group)}(?:{_any_of(group)}|{others})*")


_PERSON = _somewhere(phrases.PERSON)
_PERSON_ALONE = _only(phrases.PERSON_ALONE, phrases.GREETING, phrases.YES, phrases.NO)
_NOT_WANTED = re.compile(r"(?<!\S)" + _any_of(phrases.NOT_WANTED) + "$")
_FOLLOW_UP = re.compile(_any_of(phrases.FOLLOW_UP))
_YES = _only(phrases.YES, phrases.THANKS)
_NO = _only(phrases.NO, phrases.THANKS)
_SMALL_TALK: dict[Intent, re.Pattern[str]] = {
    "thanks": _only(phrases.THANKS, phrases.GREETING, phrases.YES, phrases.NO, phrases.FAREWELL),
    "farewell": _only(phrases.FAREWELL, phrases.YES, phrases.NO),
    "identity": _only(phrases.IDENTITY, phrases.GREETING),
    "greeting": _only(phrases.GREETING),
}
