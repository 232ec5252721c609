"""How good the answers over the demo articles are, by the questions of questions.json."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agents import knowledge
from agents.builtin import BuiltinAgent
from agents.contract import Request, Text, Turn
from agents.demo import demo_articles, save_demo_articles
from agents.models import Article
from agents.phrases import SAY
from agents.recall import search_question
from tenants.models import Tenant

QUESTIONS = json.loads(Path(__file__).with_name("questions.json").read_text())
PARAPHRASES = [row for row in QUESTIONS if row["article"]]
OUT_OF_SCOPE = [row["question"] for row in QUESTIONS if not row["article"]]

UNKNOWN = f"{SAY['unknown']} {SAY['offer']}"


@pytest.fixture
def shop(acme: Tenant) -> Tenant:
    save_demo_articles(acme)
    return acme


def answer(tenant: Tenant, question: str, history: tuple[Turn, ...] = ()) -> str:
    """What the built-in agent replies, asked as the service asks it."""
    passages = knowledge.search(tenant_id=tenant.id, question=search_question(question, history))
    request = Request(question, history=history, passages=tuple(passages))

    async def listen() -> str:
        events = BuiltinAgent(words_per_second=0).reply(request)
        return "".join([event.text async for event in events if isinstance(event, Text)])

    return asyncio.run(listen())


def test_the_questions_are_many_and_about_every_article() -> None:
    assert len(PARAPHRASES) >= 40
    assert len(OUT_OF_SCOPE) >= 10
    assert {row["article"] for row in PARAPHRASES} == {article.title for article in demo_articles()}


def test_of_four_paraphrased_questions_three_find_their_article(shop: Tenant) -> None:
    hits = 0
    for row in PARAPHRASES:
        passages = knowledge.search(tenant_id=shop.id, question=row["question"])
        hits += row["article"] in [passage.title for passage in passages]
    assert hits >= 0.75 * len(PARAPHRASES)


def test_of_ten_questions_out_of_scope_at_most_one_is_answered(shop: Tenant) -> None:
    answered = [question for question in OUT_OF_SCOPE if answer(shop, question) != UNKNOWN]
    assert len(answered) <= 0.1 * len(OUT_OF_SCOPE), answered


def test_of_four_paraphrased_questions_three_are_answered(shop: Tenant) -> None:
    answered = sum(answer(shop, row["question"]) != UNKNOWN for row in PARAPHRASES)
    assert answered >= 0.75 * len(PARAPHRASES)


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
    knowledge.save_article(article)
    save_demo_articles(shop)
    article.refresh_from_db()
    assert article.body == "We never sleep."


@pytest.mark.parametrize("article", demo_articles(), ids=lambda article: article.title)
def test_a_demo_article_is_whole_and_of_a_readable_length(article: Article) -> None:
    article.clean_fields(exclude=["tenant"])
    assert article.category
    assert 60 <= len(article.body.split()) <= 200
