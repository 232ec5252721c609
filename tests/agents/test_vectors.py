"""Embeddings: what is found by what it means, and what happens when nobody makes vectors."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import client_sessions
from core.db.executor import in_thread
from knowledge import article_store, embedding_worker, embeddings, pgvector, ranking, retrieval, vectors
from knowledge.excerpts import Passage
from knowledge.models import Article, PassageVector
from tenants.models import Tenant
from tests.agents.conftest import Write
from tests.support import embeddings_route
from tests.support.model_server import ModelServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def model(settings: Any) -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        embeddings_route.asked.clear()
        settings.EMBEDDING_MODEL = "openai:meaning"
        settings.EMBEDDING_BASE_URL = server.base_url
        settings.EMBEDDING_API_KEY = "sk-secret-of-embeddings"
        yield server
        await client_sessions.close()


async def found(tenant: Tenant, question: str) -> list[Passage]:
    return await retrieval.find(tenant_id=tenant.id, question=question)


async def save(write: Write, *arguments: Any, **fields: Any) -> Article:
    return await in_thread(write, *arguments, **fields)


async def embed_all() -> int:
    done = 0
    while some := await embedding_worker.embed_some():
        done += some
    return done


async def test_an_article_is_found_by_what_it_means(acme: Tenant, write: Write) -> None:
    await save(write, "Parking", "Leave your car behind the house.")
    await save(write, "Lamps", "A lamp needs a bulb.")
    assert await embed_all() == 2
    assert [passage.title for passage in await found(acme, "automobile")][:1] == ["Parking"]
    assert await in_thread(retrieval.search, tenant_id=acme.id, question="automobile") == []


async def test_another_tenants_vectors_are_not_compared(acme: Tenant, globex: Tenant, write: Write) -> None:
    await save(write, "Parking", "Leave your car behind the house.", tenant=globex)
    await embed_all()
    assert await found(acme, "automobile") == []


async def test_old_vectors_of_a_changed_article_are_not_used(acme: Tenant, write: Write) -> None:
    article = await save(write, "Parking", "Leave your car behind the house.")
    await embed_all()
    assert await found(acme, "vehicle")
    article.title, article.body = "Doctor", "A doctor is in the house."
    await in_thread(article_store.save_article, article)
    assert await found(acme, "vehicle") == []
    await embed_all()
    assert [passage.title for passage in await found(acme, "physician")] == ["Doctor"]
    assert await in_thread(PassageVector.objects.for_tenant(acme.id).count) == 1


async def test_an_article_that_changed_while_it_was_embedded_is_embedded_again(acme: Tenant, write: Write) -> None:
    article = await save(write, "Parking", "Leave your car behind the house.")
    [claimed] = await in_thread(vectors.claim_due)
    article.body = "No parking."
    await in_thread(article_store.save_article, article)
    await in_thread(vectors.save_vectors, claimed, await embeddings.embed(vectors.parts(claimed)))
    assert not await in_thread(PassageVector.objects.for_tenant(acme.id).exists)
    assert await embed_all() == 1


async def test_what_one_process_is_at_no_other_takes(acme: Tenant, write: Write) -> None:
    await save(write, "Parking", "Leave your car behind the house.")
    assert len(await in_thread(vectors.claim_due)) == 1
    assert await in_thread(vectors.claim_due) == []


async def test_drafts_get_no_vectors(acme: Tenant, write: Write) -> None:
    await save(write, "Parking", "Leave your car behind the house.", state=Article.State.DRAFT)
    assert await embed_all() == 0


async def test_a_deleted_article_is_not_found_by_what_it_meant(acme: Tenant, write: Write) -> None:
    article = await save(write, "Parking", "Leave your car behind the house.")
    await embed_all()
    assert await found(acme, "automobile")
    await in_thread(article_store.do_delete_article, article)
    assert await found(acme, "automobile") == []


async def test_a_long_article_has_several_vectors_each_with_its_title(acme: Tenant, write: Write) -> None:
    article = await save(write, "Parking", "\n\n".join(f"Paragraph {n} " + "word " * 150 for n in range(4)))
    await embed_all()
    [call] = embeddings_route.asked
    assert len(call["input"]) == 4
    assert all(text.startswith("Parking\n\n") for text in call["input"])
    stored = await in_thread(lambda: list(PassageVector.objects.for_tenant(acme.id).values_list("vector", flat=True)))
    assert {len(bytes(each)) for each in stored} == {4 * embeddings_route.DIMENSIONS}
    assert len(vectors.parts(article)) == len(stored)


@pytest.mark.parametrize("model_name", ["fails", "lies", "hangs"])
async def test_without_vectors_a_question_is_searched_for_by_words(
    acme: Tenant, write: Write, settings: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch, model_name: str
) -> None:
    settings.EMBEDDING_MODEL = f"openai:{model_name}"
    monkeypatch.setattr(embeddings, "QUESTION_SECONDS", 0.2)
    monkeypatch.setattr(embeddings, "_told_at", float("-inf"))
    await save(write, "Parking", "Leave your car behind the house.")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert [passage.title for passage in await found(acme, "parking a car")] == ["Parking"]
    told = [record.getMessage() for record in caplog.records if record.name == "knowledge.embeddings"]
    assert len(told) == 1
    assert "by words alone" in told[0]
    for secret in ("canary-of-the-upstream", "sk-secret", "parking", settings.EMBEDDING_BASE_URL):
        assert secret not in caplog.text


async def test_a_failure_puts_articles_off_and_says_no_text(acme: Tenant, write: Write, settings: Any) -> None:
    await save(write, "Parking", "Leave your car behind the house.")
    settings.EMBEDDING_MODEL = "openai:fails"
    with pytest.raises(embeddings.NoVectors) as failure:
        await embedding_worker.embed_some()
    assert str(failure.value) == "the model of embeddings answered with status 500"
    assert await embedding_worker.embed_some() == 0


async def test_the_key_is_sent_to_the_model(acme: Tenant) -> None:
    await embeddings.of_question("car")
    [call] = embeddings_route.asked
    assert (call["authorization"], call["model"]) == ("Bearer sk-secret-of-embeddings", "meaning")


async def test_an_installation_without_a_model_of_embeddings_asks_nobody(
    acme: Tenant, write: Write, settings: Any
) -> None:
    settings.EMBEDDING_MODEL = ""
    await save(write, "Parking", "Leave your car behind the house.")
    assert [passage.title for passage in await found(acme, "parking a car")] == ["Parking"]
    assert embeddings_route.asked == []


async def test_without_a_vector_a_search_costs_nothing_more(acme: Tenant, write: Write) -> None:
    await save(write, "Parking", "Leave your car behind the house.")

    def count() -> int:
        retrieval.search(tenant_id=acme.id, question="car")
        with CaptureQueriesContext(connection) as statements:
            retrieval.search(tenant_id=acme.id, question="car")
        return len(statements)

    assert await in_thread(count) == 2


def test_a_migrate_leaves_a_database_without_pgvector_alone() -> None:
    assert not pgvector.can_be_had()
    with CaptureQueriesContext(connection) as asked:
        pgvector.after_migrate(using="default")
    assert [query["sql"] for query in asked if not query["sql"].startswith("SELECT")] == []


def test_rankings_are_fused_by_reciprocal_rank() -> None:
    words, meaning = {"a": 0.9, "b": 0.5, "c": 0.1}, {"b": 0.8, "d": 0.7}
    # b: 1/62 + 1/61; a: 1/61; d: 1/62; c: 1/63.
    assert ranking.fuse(words, meaning) == ["b", "a", "d", "c"]
