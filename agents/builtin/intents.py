"""What does a message want: small talk, a person, or an answer?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

from agents.builtin.phrases import ENGLISH, SAY
from agents.contract import Turn
from knowledge.analyzer import terms, words

Intent = Literal[
    "greeting", "thanks", "farewell", "identity", "noted", "person", "frustration", "anger", "no", "question"
]

#: Longest small talk, in words: a longer message has something to say.
SMALL_TALK_WORDS = 12
#: A follow-up has at most this many terms of its own; whatever has more can be searched for by itself.
FOLLOW_UP_TERMS = 2
#: The same where only a word points back: "it" often points nowhere ("Is it possible to pay in cash?").
POINTING_TERMS = 1
#: How far before a phrase its denial is looked for: longer than any, and short enough for a message of any length.
NOT_WANTED_CHARACTERS = 40
#: A longer message is judged by so many characters of its beginning and of its end: other replies wait meanwhile.
JUDGED_CHARACTERS = 1000
#: Longest plain text: what is judged may grow when it is normalised, as far as any language lets it.
PLAIN_CHARACTERS = 4 * JUDGED_CHARACTERS
#: Nobody asks a follow-up, or repeats a question in other words, that is longer than this, in characters.
SHORT_CHARACTERS = 500
#: Fewer capitals are a name or an abbreviation, and no shouting.
SHOUTED_WORDS = 3

_TOKEN = re.compile(r"\{(?P<list>\w+)\}|(?P<mark>[()\[\]|])|(?P<word>[^\s{}()\[\]|]+)")
_MARKS = {"(": "(?:", "[": "(?:", "|": "|", ")": ")", "]": ")?"}
_SENTENCES = re.compile(r"(?<=[.!?…])\s+|\n+")


def intent(question: str, history: Sequence[Turn]) -> Intent:
    """What the question wants, given what was said before.

    "no" declines the offer of a person, "noted" says nothing else either; "anger" is frustration in its strong form.
    """
    question = _judged(question)
    said = plain(question)
    if _wants_person(said):
        return "person"
    if _ANGER.search(said):
        return "anger"
    if _FRUSTRATION.search(said):
        return "frustration"
    if said.count(" ") <= SMALL_TALK_WORDS:
        if _was_offered_a_person(history):
            if _NO.says(said):
                return "no"
            if _YES.says(said):
                return "person"
        for kind, talk in _SMALL_TALK.items():
            if talk.says(said):
                return kind
    return "frustration" if _is_shouted(question) else "question"


def is_follow_up(question: str) -> bool:
    """Whether a question only makes sense after the one before it: "And on Sunday?", "How much is it?"."""
    if len(question) > SHORT_CHARACTERS:
        return False
    own = len(set(terms(question)))
    if _FOLLOW_UP.match(plain(question)):
        return own <= FOLLOW_UP_TERMS
    return own <= (POINTING_TERMS if _POINTERS & set(words(question)) else 0)


def picked(answer: str) -> tuple[int, ...] | None:
    """Which of two things the answer takes up by their place, (0,), (1,), (0, 1) or (); None where it says no such."""
    said = plain(_judged(answer))
    if said.count(" ") > SMALL_TALK_WORDS:
        return None
    return next((places for places, pick in _PICKS.items() if pick.says(said)), None)


def questions_of(message: str) -> list[str]:
    """The questions that a message asks, one after the other and without their marks; one in one sentence, mostly."""
    found = []
    for sentence in _SENTENCES.split(_judged(message)):
        parts = _JOINED.split(plain(sentence))
        if sentence.rstrip().endswith("?") or _OPENER.match(parts[0]):
            found += parts
    return found


def leans(sentence: str) -> bool:
    """Whether a sentence of an article makes sense only after the one before it: "It takes a day."."""
    return _LEANING.match(plain(sentence)) is not None


def bare(text: str) -> str:
    """The words of a text without those that change nothing, to tell whether two questions are the same.

    Of a message that is judged by its beginning and end, what is between them stands as it is.
    """
    if len(text) <= SHORT_CHARACTERS:
        return _FILLERS.sub("", plain(text))
    return plain(_judged(text)) + text[JUDGED_CHARACTERS:-JUDGED_CHARACTERS]


def plain(text: str) -> str:
    """The words of a text, each with a space after it, and without apostrophes, as many people type.

    Of a longer text than is judged the beginning.
    """
    text = text[:PLAIN_CHARACTERS].replace("'", "").replace("’", "")
    return "".join(word + " " for word in words(text, PLAIN_CHARACTERS))


def _judged(message: str) -> str:
    if len(message) <= 2 * JUDGED_CHARACTERS:
        return message
    return f"{message[:JUDGED_CHARACTERS]}\n{message[-JUDGED_CHARACTERS:]}"


def _wants_person(said: str) -> bool:
    if said.count(" ") <= SMALL_TALK_WORDS and _PERSON_ALONE.says(said):
        return True
    return any(
        not _NOT_WANTED.search(said, max(0, match.start() - NOT_WANTED_CHARACTERS), match.start())
        for match in _PERSON.finditer(said)
    )


def _was_offered_a_person(history: Sequence[Turn]) -> bool:
    return bool(history) and history[-1].role == "assistant" and history[-1].content.endswith(SAY["offer"])


def _is_shouted(message: str) -> bool:
    return "!!" in message and message.isupper() and len(words(message)) >= SHOUTED_WORDS


def _pattern(phrase: str) -> str:
    """The notation of `phrases.toml` as a regular expression over plain words."""
    pattern = ""
    for match in _TOKEN.finditer(phrase):
        if match["list"]:
            pattern += _any_of(ENGLISH.lists[match["list"]])
        else:
            pattern += _MARKS[match["mark"]] if match["mark"] else plain(match["word"])
    return pattern


def _any_of(group: Iterable[str]) -> str:
    return "(?:" + "|".join(map(_pattern, group)) + ")"


def _somewhere(name: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\S)" + _any_of(ENGLISH.known[name]))


class _Only:
    """Whether at least one phrase of a group is said, and nothing besides it but fillers and what is `around`."""

    def __init__(self, *groups: str, around: Iterable[str] = ()) -> None:
        self._group = _any_phrase(*groups)
        self._others = _any_phrase("fillers", *around)

    def says(self, said: str) -> bool:
        """Whether the plain words are that; for SMALL_TALK_WORDS at most."""
        # Forward over the words. As one regular expression it would try each way to part them into phrases: 2**words.
        ends = [place for place, character in enumerate(said, start=1) if character == " "]
        # Where phrases may end that began at the first word: with one of the group among them, and without.
        with_it: set[int] = set()
        without: set[int] = {0}
        for start in (0, *ends):
            if start not in with_it and start not in without:
                continue
            for end in ends:
                if end <= start or end in with_it:
                    continue
                if self._group.fullmatch(said, start, end):
                    with_it.add(end)
                elif self._others.fullmatch(said, start, end):
                    (with_it if start in with_it else without).add(end)
        return len(said) in with_it


def _any_phrase(*groups: str) -> re.Pattern[str]:
    return re.compile(_any_of(chain.from_iterable(ENGLISH.known[group] for group in groups)))


_PERSON = _somewhere("person")
_PERSON_ALONE = _Only("person_alone", around=("greeting", "yes", "no"))
_NOT_WANTED = re.compile(_somewhere("not_wanted").pattern + "$")
_ANGER = _somewhere("anger")
_FRUSTRATION = _somewhere("frustration")
_FOLLOW_UP = _any_phrase("follow_up")
_POINTERS = frozenset(ENGLISH.known["pointers"])
_LEANING = _any_phrase("leaning")
_FILLERS = re.compile(r"(?<!\S)" + _any_phrase("fillers", "greeting", "thanks").pattern)
_YES = _Only("yes", around=("thanks",))
_NO = _Only("no", around=("thanks",))
_SMALL_TALK: dict[Intent, _Only] = {
    "thanks": _Only("thanks", around=("greeting", "yes", "no", "farewell")),
    "farewell": _Only("farewell", around=("yes", "no")),
    "identity": _Only("identity", around=("greeting",)),
    "greeting": _Only("greeting"),
    "frustration": _Only("frustration_alone", around=("greeting", "no")),
    "noted": _Only("yes", "no", "fillers"),
}
_PICKS = {
    (0,): _Only("pick_first", around=("pick_fillers", "yes")),
    (1,): _Only("pick_second", around=("pick_fillers", "yes", "no")),
    (0, 1): _Only("pick_both", around=("pick_fillers", "yes")),
    (): _Only("pick_neither", around=("pick_fillers", "no")),
}
_OPENER = _any_phrase("openers")
_JOINED = re.compile(f"(?<!\\S){_any_of(ENGLISH.known['joiners'])}(?={_any_of(ENGLISH.known['openers'])})")
