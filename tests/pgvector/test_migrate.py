"""`manage.py migrate` has PostgreSQL keep vectors as pgvector wants them, where that can be; else it does without."""

from __future__ import annotations

import logging
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection

from knowledge import embedding_worker, inverted_index, pgvector, vectors
from knowledge.models import PassageVector
from tests.pgvector.conftest import Embed, by, columns, is_filled, manage, meaning, run, unit

pytestmark = pytest.mark.once


def warnings(caplog: Any) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "knowledge.pgvector"]


def test_vectors_of_before_are_copied_exactly_whatever_their_length(database: str, embed: Embed) -> None:
    chance = random.Random(1)
    for dimensions in (3, 256, 1536):
        embed(meaning(chance, dimensions), [1e-30, 3e-42, *meaning(chance, dimensions - 2)])
    done = manage(database, "migrate")
    assert done.returncode == 0, done.stderr
    assert "vectors are compared by pgvector; 6 were copied" in done.stderr
    assert is_filled(columns())


def test_without_a_model_of_embeddings_nothing_is_added(database: str, settings: Any) -> None:
    settings.EMBEDDING_MODEL = ""
    pgvector.after_migrate(using="default")
    assert not pgvector.has_column()


def test_the_next_one_changes_nothing(migrated: str, embed: Embed) -> None:
    embed([1.0, 2.0])
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin, ctid FROM agents_passagevector")
        before = cursor.fetchall()
        pgvector.after_migrate(using="default")
        cursor.execute("SELECT xmin, ctid FROM agents_passagevector")
        assert cursor.fetchall() == before


def test_the_next_one_does_not_wait_for_those_who_read(migrated: str) -> None:
    with psycopg.connect(migrated) as reader:
        reader.execute("SELECT count(*) FROM agents_passagevector")
        run("SET lock_timeout = 100")
        pgvector.after_migrate(using="default")


def test_two_at_once_both_end_well(database: str, embed: Embed) -> None:
    article = embed([1.0])
    PassageVector.objects.bulk_create(
        PassageVector(tenant=article.tenant, article=article, position=number, vector=b"\0\0\x80?")
        for number in range(1, 3 * pgvector.AT_ONCE)
    )
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: manage(database, "migrate"), range(2)))
    assert [done.returncode for done in both] == [0, 0], both
    assert is_filled(columns())


def test_what_was_stored_without_it_since_then_is_copied_by_the_next_process(migrated: str, embed: Embed) -> None:
    embed([1.0, 2.0])
    run("UPDATE agents_passagevector SET embedding = NULL")
    embedding_worker._look_back()
    assert is_filled(columns())


def test_without_the_right_to_it_one_line_says_so_and_vectors_are_compared_in_python(
    point: Any, database: str, plain: str, embed: Embed, caplog: Any
) -> None:
    article = embed([1.0, 0.0])
    run(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {plain}")
    point(by(plain, database))
    pgvector.after_migrate(using="default")
    [told] = warnings(caplog)
    assert told == (
        'vectors are compared in Python: pgvector is installed, but permission denied to create extension "vector"'
    )
    found = vectors.nearest(article.tenant_id, inverted_index.TenantIndex(), unit([1.0, 1.0]))
    assert found == {article.id: pytest.approx(0.5**0.5)}


def test_an_extension_that_lies_where_nobody_looks_is_no_failure(database: str, caplog: Any) -> None:
    run("CREATE SCHEMA elsewhere")
    run("CREATE EXTENSION vector SCHEMA elsewhere")
    pgvector.after_migrate(using="default")
    [told] = warnings(caplog)
    assert told.endswith('type "vector" does not exist')


def test_tables_that_were_taken_back_are_no_failure(database: str, caplog: Any) -> None:
    run("DROP TABLE agents_passagevector")
    with caplog.at_level(logging.INFO):
        pgvector.after_migrate(using="default")
    assert warnings(caplog) == []
