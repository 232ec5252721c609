"""What does it cost to compare a question with a tenant's vectors, by how many there are and by who compares?

    SECRET_KEY=x EMBEDDING_MODEL=openai:x DATABASE_URL=… python -m benchmarks.meaning 2000 20000

on an empty, migrated database. The vectors have 1,536 numbers by chance, four of them are an article. Python looks at
no more of them than knowledge/vectors.py says. Nothing stays.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
import time
from array import array
from collections.abc import Callable, Iterator

import django

NUMBERS = 1536
PARTS = 4
QUESTIONS = 30


def main(sizes: list[int]) -> None:
    """Print a table with a line for each size and for each who compares."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lexicon.settings")
    django.setup()
    from django.db import transaction

    print("| vectors | compared by | first, ms | median, ms | 95 %, ms |\n|---:|---|---:|---:|---:|")
    for size in sizes:
        with transaction.atomic():
            for line in measure(size):
                print(f"| {size:,} | {line} |", flush=True)
            transaction.set_rollback(True)


def measure(size: int) -> Iterator[str]:
    """The lines for a tenant with so many vectors."""
    from django.conf import settings
    from django.db import connection

    from knowledge import inverted_index, pgvector, vectors
    from knowledge.models import Article, PassageVector
    from tenants.models import Tenant

    chance = random.Random(1)
    tenant = Tenant.objects.create(name="benchmark")
    embedded = {"stamp": 1, "embedded_stamp": 1, "embedded_by": settings.EMBEDDING_MODEL}
    articles = [Article(tenant=tenant, title="Title", body="Body", **embedded) for _ in range(size // PARTS)]
    Article.objects.bulk_create(articles, batch_size=500)
    for start in range(0, size, 500):
        places = [divmod(number, PARTS) for number in range(start, min(size, start + 500))]
        rows = PassageVector.objects.bulk_create(
            PassageVector(tenant=tenant, article=articles[i], position=position, vector=_vector(chance).tobytes())
            for i, position in places
        )
        if pgvector.is_used():
            pgvector.put((row.pk, row.vector) for row in rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    library = inverted_index.TenantIndex()
    questions = [_vector(chance) for _ in range(QUESTIONS + 1)]
    if pgvector.is_used():
        yield "pgvector " + _times(lambda question: vectors.nearest(tenant.id, library, question), questions)
    yield "Python " + _times(lambda question: vectors.nearest_in_python(tenant.id, library, question), questions)


def _times(compare: Callable[[array[float]], object], questions: list[array[float]]) -> str:
    times = []
    for question in questions:
        began = time.perf_counter()
        compare(question)
        times.append((time.perf_counter() - began) * 1000)
    first, *others = times
    others.sort()
    return f"| {first:.0f} | {statistics.median(others):.1f} | {others[len(others) * 95 // 100]:.1f}"


def _vector(chance: random.Random) -> array[float]:
    numbers = chance.choices(range(-1000, 1001), k=NUMBERS)
    length = math.sqrt(sum(number * number for number in numbers))
    return array("f", [number / length for number in numbers])


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [2000])
