"""How well are a file of questions answered?

A question is searched for as the service does it, and the built-in agent decides whether it is answered: it names its
source then. An answer is wrong that quotes no article which holds it.
"""

from __future__ import annotations

import asyncio
import csv
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.builtin.agent import BuiltinAgent
from agents.contract import Policy, Request, Source
from knowledge import retrieval
from tenants.models import Tenant

#: What a question may be: in the words of its article, in other words, or about what no article says.
KINDS = ("direct", "paraphrase", "none")
HEAD = """\
| kind | questions | hit@1 | hit@3 | MRR | answered | wrongly answered |
|---|---:|---:|---:|---:|---:|---:|"""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the titles of the articles that answer it; none where it is out of scope."""

    text: str
    titles: frozenset[str]
    kind: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question."""

    question: Question
    #: At which place the first article stands that answers it, from 1; 0 where none was found.
    place: int
    answered: bool
    #: Answered from no article that holds the answer.
    wrongly: bool
    seconds: float


class BadQuestions(Exception):
    """The file can not be read. The message says where, and what to put right."""


def read_questions(path: Path, titles: Iterable[str]) -> list[Question]:
    """The questions of a CSV with the columns question, article and kind. `titles` are those that there are.

    An article is an exact title, several joined by `|`, or `none`. Raises BadQuestions.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_questions(csv.DictReader(file), set(titles), path))
    except csv.Error as error:
        raise BadQuestions(f"{path} is no CSV: {error}.") from None
    except UnicodeDecodeError:
        raise BadQuestions(f"{path} is not UTF-8.") from None


def _questions(rows: csv.DictReader[str], known: set[str], path: Path) -> Iterator[Question]:
    if rows.fieldnames != ["question", "article", "kind"]:
        raise BadQuestions(f"{path}, line 1: it must be question,article,kind.")
    for row in rows:
        wanted = frozenset() if row["article"] == "none" else frozenset((row["article"] or "").split("|"))
        if row["kind"] not in KINDS or (row["kind"] == "none") != (not wanted):
            raise BadQuestions(
                f"{path}, line {rows.line_num}: kind must be direct or paraphrase, or with the article none, none."
            )
        if missing := wanted - known:
            raise BadQuestions(f"{path}, line {rows.line_num}: there is no article {min(missing)!r}.")
        yield Question(row["question"], wanted, row["kind"])


def evaluate(tenant: Tenant, questions: Iterable[Question]) -> list[Outcome]:
    """Ask the tenant's articles each of the questions, each as if it began a chat."""
    agent = BuiltinAgent(words_per_second=0)
    policy = Policy(answer_threshold=tenant.answer_threshold)
    return [_outcome(tenant, question, agent, policy) for question in questions]


def _outcome(tenant: Tenant, question: Question, agent: BuiltinAgent, policy: Policy) -> Outcome:
    began = time.perf_counter()
    passages = retrieval.search(tenant_id=tenant.id, question=question.text)
    seconds = time.perf_counter() - began
    places = (place for place, passage in enumerate(passages, start=1) if passage.title in question.titles)
    request = Request(question.text, passages=tuple(passages), policy=policy)
    quoted = asyncio.run(_quoted(agent, request))
    return Outcome(question, next(places, 0), bool(quoted), bool(quoted) and not quoted & question.titles, seconds)


async def _quoted(agent: BuiltinAgent, request: Request) -> set[str]:
    return {event.title async for event in agent.reply(request) if isinstance(event, Source)}


def report(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The lines of a Markdown table: all questions, and each kind."""
    yield HEAD
    yield _line("all", outcomes)
    for kind in KINDS:
        if of_kind := [outcome for outcome in outcomes if outcome.question.kind == kind]:
            yield _line(kind, of_kind)


def latency(outcomes: Sequence[Outcome]) -> str:
    """How long the searches took."""
    times = sorted(outcome.seconds * 1000 for outcome in outcomes)
    most = times[min(len(times) - 1, len(times) * 95 // 100)]
    return f"A search took {statistics.median(times):.1f} ms at the median, {most:.1f} ms at 95 %."


def _line(name: str, outcomes: Sequence[Outcome]) -> str:
    places = [outcome.place for outcome in outcomes if outcome.question.titles]
    found = [
        _share(sum(place == 1 for place in places), len(places)),
        _share(sum(place > 0 for place in places), len(places)),
        f"{sum(1 / place for place in places if place) / len(places):.3f}" if places else "–",
    ]
    answered = _share(sum(outcome.answered for outcome in outcomes), len(outcomes))
    wrongly = _share(sum(outcome.wrongly for outcome in outcomes), len(outcomes))
    return f"| {' | '.join([name, str(len(outcomes)), *found, answered, wrongly])} |"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "–"
