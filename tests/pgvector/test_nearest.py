"""PostgreSQL with pgvector finds what Python finds, among all vectors there are."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from knowledge import article_store, inverted_index, pgvector, retrieval, vectors
from knowledge.models import Article, PassageVector
from tenants.models import Tenant
from tests.pgvector.conftest import Embed, columns, is_filled, meaning, run, unit
from tests.support.actors import new_actor

pytestmark = pytest.mark.once


@dataclass
class Both:
    """The two ways to compare."""

    tenant: Tenant

    def python(self, numbers: list[float]) -> dict[Any, float]:
        return vectors.nearest_in_python(self.tenant.id, inverted_index.TenantIndex(), unit(numbers))

    def pgvector(self, numbers: list[float]) -> dict[Any, float]:
        assert pgvector.is_used()
        return vectors.nearest(self.tenant.id, inverted_index.TenantIndex(), unit(numbers))


@pytest.fixture
def both(migrated: str, acme: Tenant) -> Both:
    return Both(acme)


def order(cosines: dict[Any, float]) -> list[Any]:
    return sorted(cosines, key=lambda key: (-cosines[key], key))


def test_the_ranking_is_that_of_python(both: Both, embed: Embed) -> None:
    chance = random.Random(7)
    for _ in range(60):
        parts = [meaning(chance, chance.choice((24, 24, 24, 25))) for _ in range(chance.randint(1, 4))]
        embed(*parts)
        # Another that means exactly the same: only its id decides.
        if chance.random() < 0.2:
            embed(*parts)
    for dimensions in (24, 24, 24, 25, 26):
        question = meaning(chance, dimensions)
        expected, found = both.python(question), both.pgvector(question)
        assert list(found) == order(found) == order(expected)
        assert found == pytest.approx(expected, abs=1e-6)
        assert bool(found) == (dimensions != 26)


def test_only_what_may_be_quoted_and_is_current_is_found(both: Both, embed: Embed) -> None:
    globex = new_actor("Globex").tenant
    found = embed([1.0, 0.0])
    embed([1.0, 0.0], tenant=globex)
    embed([1.0, 0.0], state=Article.State.DRAFT)
    changed, of_another_model = embed([1.0, 0.0]), embed([1.0, 0.0])
    changed.body = "Changed"
    article_store.save_article(changed)
    mine = Article.objects.for_tenant(of_another_model.tenant_id).filter(id=of_another_model.id)
    mine.update(embedded_by="openai:another")
    assert list(both.pgvector([1.0, 1.0])) == [found.id]


def test_a_search_finds_the_same_passages_with_the_same_scores(both: Both, embed: Embed) -> None:
    chance = random.Random(3)
    for title in ("Parking", "Parking at night", "Lamps", "Doctor", "Night"):
        embed(meaning(chance, 8), title=title)
    question, vector = "parking at night", unit(meaning(chance, 8))

    def found() -> list[tuple[str, Any]]:
        passages = retrieval.search(tenant_id=both.tenant.id, question=question, vector=vector)
        return [(passage.article_id, pytest.approx(passage.score, abs=1e-6)) for passage in passages]

    by_pgvector = found()
    run("DROP EXTENSION vector CASCADE")
    pgvector.is_used.cache_clear()
    assert len(by_pgvector) == 3
    assert found() == by_pgvector


def test_of_many_articles_the_nearest_are_found(both: Both, acme: Tenant) -> None:
    count = vectors.MOST_VECTORS + 100
    articles = Article.objects.bulk_create(
        Article(tenant=acme, title="Title", body="Body", stamp=1, embedded_stamp=1, embedded_by="openai:meaning")
        for _ in range(count)
    )
    articles.sort(key=lambda article: article.id)
    # The later its id, the nearer; Python begins with the first.
    rows = PassageVector.objects.bulk_create(
        PassageVector(tenant=acme, article=article, position=0, vector=unit([number, count]).tobytes())
        for number, article in enumerate(articles)
    )
    pgvector.put((row.pk, row.vector) for row in rows)
    nearest = [article.id for article in articles[: -pgvector.NEAREST - 1 : -1]]
    assert list(both.pgvector([1.0, 0.0])) == nearest


def test_a_process_that_compares_in_python_stores_for_those_that_do_not(
    database: str, acme: Tenant, embed: Embed
) -> None:
    assert not pgvector.is_used()
    pgvector.after_migrate(using="default")
    assert not pgvector.is_used()
    embed([1.0, 2.0, 3.0])
    assert is_filled(columns())


def test_vectors_longer_than_pgvector_takes_are_compared_in_python(both: Both, embed: Embed) -> None:
    numbers = meaning(random.Random(5), pgvector.MOST_NUMBERS + 1)
    article = embed(numbers)
    assert [kept for _, kept in columns()] == [None]
    assert both.pgvector(numbers) == {article.id: pytest.approx(1.0)}
    assert pgvector.fill() == 0


def test_a_search_by_meaning_is_one_statement_more(both: Both, embed: Embed) -> None:
    embed([1.0, 0.0])

    def count(**vector: Any) -> int:
        retrieval.search(tenant_id=both.tenant.id, question="title", **vector)
        with CaptureQueriesContext(connection) as statements:
            retrieval.search(tenant_id=both.tenant.id, question="title", **vector)
        return len(statements)

    assert count(vector=unit([1.0, 1.0])) == count() + 1
