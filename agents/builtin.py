"""How does the built-in agent answer, without any model?

It quotes the tenant's articles and says so, says plainly when they hold no answer, and knows when
a person is wanted. Whatever an article or a message says is text to quote or to search for, never
an instruction.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from agents import phrases
from agents.contract import End, Escalate, Event, Request, Source, Text, Turn, Usage
from agents.excerpts import excerpt
from agents.intents import intent, is_follow_up
from agents.terms import terms

#: Longest quotation, in characters: about seventy words, which is what people read in a chat.
QUOTE_CHARACTERS = 450
#: Passages that score less are no answer. Chosen on the demo articles, between the questions that they answer
#: and those that they do not (tests/agents/test_evaluation.py).
KNOWN = 0.3

_WORD = re.compile(r"\s*\S+\s*")


def search_question(question: str, history: Sequence[Turn]) -> str:
    """The text to search for: the question, and where it is a follow-up, the question before it as well.

    `history` holds the earlier turns of the chat, oldest first.
    """
    if is_follow_up(question):
        asked = (turn.content for turn in reversed(history) if turn.role == "user")
        for before in asked:
            if intent(before, ()) == "question" and not is_follow_up(before):
                return f"{before}\n{question}"
    return question


class BuiltinAgent:
    """The agent of an installation without a model (`builtin`).

    `words_per_second` is how fast it speaks; 0 means at once.
    """

    model = "builtin"

    def __init__(self, *, words_per_second: float) -> None:
        self._pause = 1 / words_per_second if words_per_second > 0 else 0.0

    async def reply(self, request: Request) -> AsyncGenerator[Event, None]:
        """One reply, a word at a time."""
        said, mark = _answer(request)
        if isinstance(mark, Source):
            yield mark
        for index, word in enumerate(_WORD.findall(said)):
            if self._pause and index:
                await asyncio.sleep(self._pause)
            yield Text(word)
        yield self.estimate(request, said)
        if isinstance(mark, Escalate):
            yield mark
        yield End()

    def estimate(self, request: Request, said: str) -> Usage:
        """Words of the message and of the reply (CONTRACT, guarantee 8)."""
        return Usage(len(request.question.split()), len(said.split()))


def _answer(request: Request) -> tuple[str, Escalate | Source | None]:
    """What to say, and where that is from, or whether a person takes over afterwards."""
    match intent(request.question, request.history):
        case "person":
            return phrases.SAY_PERSON, Escalate("The user asked for a person.")
        case "question":
            return _quote(request)
        case small_talk:
            return phrases.SAY[small_talk], None


def _quote(request: Request) -> tuple[str, Source | None]:
    best = max(request.passages, key=lambda passage: passage.score, default=None)
    if best is None or best.score < request.policy.answer_threshold:
        return phrases.SAY_UNKNOWN, None
    wanted = dict.fromkeys(terms(search_question(request.question, request.history)), 1.0)
    text = excerpt(best.text, wanted, longest=QUOTE_CHARACTERS)
    source = Source(best.article_id, best.title, best.url)
    return f"{text}\n\n{phrases.SAY_SOURCE.format(title=best.title)}", source
