"""How does PostgreSQL keep and compare the vectors of articles, where it has the extension pgvector?

In a column beside the packed numbers, which every database has and which stay what is true. No migration adds it, for
the extension may be installed at any time: each `manage.py migrate` looks whether the column can be had, and fills it.
"""

from __future__ import annotations

import logging
import struct
import uuid
from collections.abc import Iterable
from functools import cache

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.models import BooleanField, FloatField, IntegerField, Max, QuerySet
from django.db.models.expressions import RawSQL

from knowledge.models import PassageVector

logger = logging.getLogger(__name__)

#: Most numbers of a vector that pgvector takes.
MOST_NUMBERS = 16_000
#: Articles that are asked for: several times as many as count where two rankings are fused (knowledge/ranking.py).
NEAREST = 100
#: Rows that are filled in one transaction.
AT_ONCE = 100

# The type has no dimension: the next model may make longer vectors. Statistics of them are of no use to anybody, and
# making them fails before pgvector 0.6.1 where lengths are mixed.
_ADD = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "ALTER TABLE agents_passagevector ADD COLUMN IF NOT EXISTS embedding vector",
    "ALTER TABLE agents_passagevector ALTER COLUMN embedding SET STATISTICS 0",
)


def after_migrate(*, using: str, **kwargs: object) -> None:
    """Have the column where vectors are made and the database can compare them."""
    if not settings.EMBEDDING_MODEL or not can_be_had(using):
        return
    if not has_column(using):
        try:
            with transaction.atomic(using), connections[using].cursor() as cursor:
                for statement in _ADD:
                    cursor.execute(statement)
        except DatabaseError as error:
            reason = str(error).partition("\n")[0]
            logger.warning("vectors are compared in Python: pgvector is installed, but %s", reason)
            return
    filled = fill(using)
    logger.info("vectors are compared by pgvector; %s were copied for it", filled)


def can_be_had(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the server has pgvector, and the database the table that gets the column."""
    return _answers(
        using,
        "SELECT to_regclass('agents_passagevector') IS NOT NULL"
        " AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')",
    )


def has_column(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the column is there."""
    return _answers(
        using,
        "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('agents_passagevector')"
        " AND attname = 'embedding' AND NOT attisdropped)",
    )


@cache
def is_used() -> bool:
    """Whether questions are compared by the database. What was so when this process first asked holds until its end."""
    return has_column()


def fill(using: str = DEFAULT_DB_ALIAS) -> int:
    """Fill the column, if it is there, of the rows that lack it; how many those were."""
    last = done = 0
    while has_column(using):
        with transaction.atomic(using), connections[using].cursor() as cursor:
            # What another process is at, that one fills or deletes.
            cursor.execute(
                "SELECT id, vector FROM agents_passagevector WHERE embedding IS NULL AND id > %s"
                " AND length(vector) <= %s ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED",
                [last, 4 * MOST_NUMBERS, AT_ONCE],
            )
            rows = cursor.fetchall()
            if not rows:
                break
            put(rows, using)
        last = rows[-1][0]
        done += len(rows)
    return done


def put(rows: Iterable[tuple[int, bytes]], using: str = DEFAULT_DB_ALIAS) -> None:
    """Fill the column of rows, given by their ids and packed numbers."""
    with connections[using].cursor() as cursor:
        cursor.executemany(
            "UPDATE agents_passagevector SET embedding = %s::vector WHERE id = %s",
            [(_text(packed), row_id) for row_id, packed in rows if len(packed) <= 4 * MOST_NUMBERS],
        )


def nearest(passages: QuerySet[PassageVector], packed: bytes) -> dict[uuid.UUID, float]:
    """The cosine of each of the NEAREST articles, among those of the passages, with a vector of length 1."""
    # Of two vectors of length 1 the product is the cosine; `<#>` is its negative, and fails where they have not as many
    # numbers. How many is asked of the packed ones: vector_dims would read each vector once more, half of all time.
    product = RawSQL("-(embedding <#> %s::vector)", [_text(packed)], output_field=FloatField())
    length = RawSQL("length(vector)", [], output_field=IntegerField())
    filled = RawSQL("embedding IS NOT NULL", [], output_field=BooleanField())
    fitting = passages.alias(length=length).filter(filled, length=len(packed)).order_by()
    best = fitting.values("article_id").annotate(cosine=Max(product)).order_by("-cosine", "article_id")
    return dict(best.values_list("article_id", "cosine")[:NEAREST])


def _answers(using: str, question: str) -> bool:
    connection = connections[using]
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def _text(packed: bytes) -> str:
    """A vector as pgvector reads it; nine digits bring every 32-bit float back exactly."""
    return "[" + ",".join(f"{number:.9g}" for (number,) in struct.iter_unpack("<f", packed)) + "]"
