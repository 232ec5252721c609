"""How good the answers are, by files of questions; and that the documentation says so."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from agents.builtin.agent import BuiltinAgent
from agents.builtin.dialogue_state import search_question
from agents.builtin.phrases import SAY
from agents.contract import Policy, Request, Source, Text, Turn
from agents.evaluation import HEAD, evaluate, read_questions
from knowledge import article_store, retrieval
from knowledge.demo import demo_articles, save_demo_articles
from knowledge.models import Article
from tenants.models import Tenant
from tests.support.servers import ROOT

#: No database decides it.
pytestmark = pytest.mark.once

SETS = {"shop": "knowledge/demo_articles", "hosting": "benchmarks/knowledge/articles"}
PAGE = ROOT / "docs" / "agents.md"
OLDER = Path(__file__).with_name("questions.csv")

UNKNOWN = f"{SAY['unknown']} {SAY['offer']}"


@pytest.fixture
def shop(acme: Tenant) -> Tenant:
    save_demo_articles(acme)
    return acme


def printed(name: str, half: str, *options: str) -> str:
    """What the command prints for one of the files."""
    out = io.StringIO()
    file = ROOT / "benchmarks" / "knowledge" / f"{name}.{half}.csv"
    call_command("evaluate_knowledge", str(file), "--articles", str(ROOT / SETS[name]), *options, stdout=out)
    return out.getvalue()


def figures(table: str, kind: str) -> dict[str, float]:
    """The row of a table that is about a kind of question."""
    names = [cell.strip() for cell in HEAD.splitlines()[0].strip("|").split("|")]
    [row] = re.findall(rf"^\| {kind} \|(.*)\|$", table, re.MULTILINE)
    return {name: float(cell) for name, cell in zip(names[1:], row.split("|"), strict=True) if cell.strip() != "–"}


@pytest.mark.django_db
@pytest.mark.parametrize("name", SETS)
def test_the_questions_to_tune_by_are_answered_so_well(name: str) -> None:
    table = printed(name, "tune")
    assert figures(table, "direct")["hit@3"] >= 0.95
    assert figures(table, "paraphrase")["hit@3"] >= 0.75
    assert figures(table, "paraphrase")["answered"] >= 0.5
    assert figures(table, "none")["wrongly answered"] <= 0.1


@pytest.mark.django_db
@pytest.mark.parametrize("half", ["tune", "held_back"])
@pytest.mark.parametrize("name", SETS)
def test_the_documentation_says_what_the_command_prints(name: str, half: str) -> None:
    table, _, _ = printed(name, half).partition("\n\n")
    assert table.startswith(HEAD)
    assert f"`{name}.{half}.csv`" in PAGE.read_text()
    assert table in PAGE.read_text(), f"make evaluate prints otherwise:\n{table}"


@pytest.mark.django_db
def test_nothing_of_an_evaluation_stays() -> None:
    printed("shop", "tune")
    assert not Tenant.objects.exists()


@pytest.mark.django_db
def test_the_single_questions_of_a_held_back_half_are_not_shown() -> None:
    with pytest.raises(CommandError, match="not to be looked at"):
        printed("shop", "held_back", "--misses")


def test_a_tenants_own_articles_are_asked(shop: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("question,article,kind\nWhat are your business hours?,Business hours,direct\nA zebra?,none,none\n")
    out = io.StringIO()
    call_command("evaluate_knowledge", str(file), "--tenant", str(shop.id), stdout=out)
    assert "| all | 2 | 1.000 | 1.000 | 1.000 | 0.500 | 0.000 |" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("question,article\n", "line 1: it must be question,article,kind"),
        ("question,article,kind\na,Business hours,often\n", "line 2: kind must be"),
        ("question,article,kind\na,none,direct\n", "line 2: kind must be"),
        ("question,article,kind\na,No such,direct\n", "line 2: there is no article 'No such'"),
    ],
)
def test_a_file_of_questions_that_is_none_is_refused_by_its_line(
    shop: Tenant, tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "own.csv"
    file.write_text(text)
    with pytest.raises(CommandError) as refused:
        call_command("evaluate_knowledge", str(file), "--tenant", str(shop.id))
    assert problem in str(refused.value)


@pytest.mark.parametrize(("content", "told"), [(b"\xff", "is not UTF-8"), (b"x" * 2_000_000, "is no CSV")])
def test_a_file_of_questions_that_can_not_be_read_is_told(
    shop: Tenant, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "questions.csv"
    file.write_bytes(b"question,article,kind\n" + content)
    with pytest.raises(CommandError, match=told):
        call_command("evaluate_knowledge", str(file), "--tenant", str(shop.id))


def test_the_older_questions_are_answered_so_well(shop: Tenant) -> None:
    titles = {article.title for article in demo_articles()}
    outcomes = evaluate(shop, read_questions(OLDER, titles))
    asked = [outcome for outcome in outcomes if outcome.question.titles]
    others = [outcome for outcome in outcomes if not outcome.question.titles]
    assert len(asked) >= 40
    assert {title for outcome in asked for title in outcome.question.titles} == titles
    assert sum(outcome.place > 0 for outcome in asked) >= 0.9 * len(asked)
    assert sum(outcome.answered for outcome in asked) >= 0.75 * len(asked)
    assert sum(outcome.answered for outcome in others) <= 0.1 * len(others)


def events(tenant: Tenant, question: str, history: tuple[Turn, ...] = ()) -> list[object]:
    """What the built-in agent replies, asked as the service asks it."""
    passages = retrieval.search(tenant_id=tenant.id, question=search_question(question, history))
    policy = Policy(answer_threshold=tenant.answer_threshold)
    request = Request(question, history=history, passages=tuple(passages), policy=policy)

    async def listen() -> list[object]:
        return [event async for event in BuiltinAgent(words_per_second=0).reply(request)]

    return asyncio.run(listen())


def answer(tenant: Tenant, question: str, history: tuple[Turn, ...] = ()) -> str:
    return "".join(event.text for event in events(tenant, question, history) if isinstance(event, Text))


def test_every_source_of_a_reply_is_a_published_article_of_the_tenant(shop: Tenant, globex: Tenant) -> None:
    save_demo_articles(globex)
    published = Article.objects.for_tenant(shop.id).filter(state=Article.State.PUBLISHED)
    own = {str(article.id): article.title for article in published}
    named = [
        event
        for question in read_questions(OLDER, own.values())
        for event in events(shop, question.text)
        if isinstance(event, Source)
    ]
    assert len(named) > 40
    assert all(own.get(source.article_id) == source.title for source in named)


def test_a_pair_of_shoes_is_returned_like_anything_else(shop: Tenant) -> None:
    assert "within 30 days" in answer(shop, "Can I return a pair of shoes?")


def test_the_question_everybody_tries_first_is_answered(shop: Tenant) -> None:
    reply = answer(shop, "What are your business hours?")
    assert "Monday to Friday from 9:00 to 18:00" in reply
    assert reply.endswith("From our article “Business hours”.")


def test_and_on_sunday_is_about_the_hours(shop: Tenant) -> None:
    first = answer(shop, "What are your business hours?")
    history = (Turn("user", "What are your business hours?"), Turn("assistant", first))
    assert "On Sundays and on public holidays we are closed." in answer(shop, "And on Sunday?", history)


def test_the_demo_articles_are_saved_once(acme: Tenant, globex: Tenant) -> None:
    assert save_demo_articles(acme) == len(demo_articles()) >= 12
    assert save_demo_articles(acme) == 0
    assert Article.objects.for_tenant(acme.id).count() == len(demo_articles())
    assert not Article.objects.for_tenant(globex.id).exists()


def test_what_was_changed_in_a_demo_article_stays(shop: Tenant) -> None:
    article = Article.objects.for_tenant(shop.id).get(title="Business hours")
    article.body = "We never sleep."
    article_store.save_article(article)
    save_demo_articles(shop)
    article.refresh_from_db()
    assert article.body == "We never sleep."


@pytest.mark.parametrize("article", demo_articles(), ids=lambda article: article.title)
def test_a_demo_article_is_whole_and_of_a_readable_length(article: Article) -> None:
    article.clean_fields(exclude=["tenant"])
    assert article.category
    assert 60 <= len(article.body.split()) <= 200
