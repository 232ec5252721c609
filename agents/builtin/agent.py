"""How does the built-in agent answer, without any model?

It quotes the tenant's articles and says so, says plainly when they hold no answer, and knows when
a person is wanted. Whatever an article or a message says is text to quote or to search for, never
an instruction; the tenant's instructions are for models, and it never reads them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from agents.builtin import answer_composer, dialogue_state
from agents.builtin.intents import intent
from agents.builtin.phrases import SAY
from agents.contract import End, Escalate, Event, NoAnswer, Request, Source, Text, Turn, Usage
from agents.rules import escalation_by_failure, keyword_in
from knowledge.excerpts import Passage

#: So often the same is asked until a person should answer it.
SAME_QUESTIONS = 3

_WORD = re.compile(r"\A\s*\S+\s*|\S+\s*")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What to say, and what it means."""

    text: str
    #: What it quotes.
    passages: tuple[Passage, ...] = ()
    #: Whether it holds no answer to what was asked.
    unknown: bool = False
    #: Why a person should take over.
    escalate: str | None = None


class BuiltinAgent:
    """The agent of an installation without a model (`builtin`).

    `words_per_second` is how fast it speaks; 0 means at once.
    """

    model = "builtin"
    is_model = False

    def __init__(self, *, words_per_second: float) -> None:
        self._pause = 1 / words_per_second if words_per_second > 0 else 0.0

    async def reply(self, request: Request) -> AsyncGenerator[Event, None]:
        """One reply, a word at a time."""
        answer = _answer(request)
        for passage in answer.passages:
            yield Source(passage.article_id, passage.title, passage.url)
        for index, word in enumerate(_WORD.findall(answer.text)):
            if self._pause and index:
                await asyncio.sleep(self._pause)
            yield Text(word)
        yield self.estimate(request, answer.text)
        if answer.unknown:
            yield NoAnswer()
        if answer.escalate is not None:
            yield Escalate(answer.escalate)
        yield End()

    def estimate(self, request: Request, said: str) -> Usage:
        """Words of the message and of the reply (CONTRACT, guarantee 8)."""
        return Usage(len(request.question.split()), len(said.split()))


def _answer(request: Request) -> _Answer:
    if keyword := keyword_in(request):
        return _Answer(SAY["hand_over"], escalate=f"The user said “{keyword}”.")
    recent = dialogue_state.since_handed_over(request.history)
    if dialogue_state.chosen(request.question, recent) is not None:
        return _look_up(request, recent)
    match intent(request.question, recent):
        case "person":
            return _hand_over("of_course", "The user asked for a person.")
        case "anger":
            return _hand_over("could_not_help", "The user is angry.")
        case "frustration":
            if dialogue_state.was_frustrated(recent):
                return _hand_over("could_not_help", "The user has lost patience twice.")
            return _apologise(request)
        case "no" | "noted":
            return _Answer(SAY["noted"])
        case "question":
            return _look_up(request, recent)
        case small_talk:
            return _Answer(SAY[small_talk])


def _look_up(request: Request, recent: Sequence[Turn]) -> _Answer:
    """The answer to a question, as far as the passages hold one."""
    replies = dialogue_state.answers_before(request.question, recent)
    answers = [reply for reply in replies if not dialogue_state.asked_back(reply)]
    if len(answers) + 1 >= SAME_QUESTIONS:
        return _hand_over("could_not_help", "The user asked the same three times.")
    passages = answer_composer.known(request.passages, request.policy.answer_threshold)
    meant = dialogue_state.search_question(request.question, recent)
    titles = dialogue_state.chosen(request.question, recent)
    if titles is not None:
        passages = [passage for passage in passages if passage.title in titles]
        return _quote([(passage, meant) for passage in passages]) if passages else _unknown(request, "unknown")
    if answers:
        return _again(request, meant, passages, dialogue_state.titles_quoted(answers))
    if not passages:
        return _unknown(request, "unknown")
    if two := answer_composer.answers_of_two(request.question, request.passages, request.policy.answer_threshold):
        return _quote(two)
    # At most once for a question: not after asking back in vain.
    if answer_composer.tie(passages) and not replies and not (recent and dialogue_state.asked_back(recent[-1].content)):
        return _Answer(SAY["which"].format(first=passages[0].title, second=passages[1].title))
    said = recent[-1].content if recent else ""
    text = answer_composer.quote(passages[0], meant, own=request.question, said=said)
    return _Answer(text, passages=(passages[0],))


def _apologise(request: Request) -> _Answer:
    """The answer to somebody who has lost patience; where they ask something besides, that is answered as well."""
    passages = answer_composer.known(request.passages, request.policy.answer_threshold)[:1]
    quotes = [answer_composer.quote(passage, request.question) for passage in passages]
    return _Answer("\n\n".join([SAY["sorry"], *quotes, SAY["offer"]]), passages=tuple(passages))


def _again(request: Request, meant: str, passages: Sequence[Passage], quoted: set[str]) -> _Answer:
    """The answer to a question that was asked before, from another article: never the same text once more."""
    other = next((passage for passage in passages if passage.title not in quoted), None)
    if other is not None:
        return _quote([(other, meant)], before=SAY["again"] if quoted else "")
    return _unknown(request, "nothing_more" if quoted else "still_unknown")


def _unknown(request: Request, say: str) -> _Answer:
    """There is no answer; a person should give one, where this has gone on for long enough."""
    reason = escalation_by_failure(unanswered=request.unanswered, after=request.policy.escalation_after)
    if reason is not None:
        return replace(_hand_over("could_not_help", reason), unknown=True)
    return _Answer(f"{SAY[say]} {SAY['offer']}", unknown=True)


def _quote(answers: Sequence[tuple[Passage, str]], *, before: str = "") -> _Answer:
    """Each passage, trimmed to its question."""
    quotes = [answer_composer.quote(passage, question) for passage, question in answers]
    text = "\n\n".join([before, *quotes] if before else quotes)
    return _Answer(text, passages=tuple(passage for passage, _ in answers))


def _hand_over(say: str, reason: str) -> _Answer:
    return _Answer(f"{SAY[say]} {SAY['hand_over']}", escalate=reason)
