"""What does a search cost, by how many articles a tenant has?

    SECRET_KEY=x DATABASE_URL=… python -m benchmarks.search 16 1000 20000

on an empty, migrated database. Articles are put together from the paragraphs of benchmarks/knowledge and of the demo,
so that all of them share their words: real ones cost less. Nothing stays.
"""

from __future__ import annotations

import csv
import os
import random
import statistics
import sys
import time
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent


def main(sizes: list[int]) -> None:
    """Print a table with a line for each size."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lexicon.settings")
    django.setup()
    from django.db import transaction

    print("| articles | first search, ms | search, CPU ms | median, ms | 95 %, ms |\n|---:|---:|---:|---:|---:|")
    for size in sizes:
        with transaction.atomic():
            print(measure(size), flush=True)
            transaction.set_rollback(True)


def measure(size: int) -> str:
    """The line for a tenant with so many articles."""
    from knowledge import retrieval
    from knowledge.models import Article, new_stamp
    from tenants.models import Tenant

    chance = random.Random(1)
    tenant = Tenant.objects.create(name="benchmark")
    folders = ROOT / "agents" / "demo_articles", ROOT / "benchmarks" / "knowledge" / "articles"
    files = [path for folder in folders for path in sorted(folder.glob("*.md"))]
    paragraphs = [text for path in files for text in path.read_text().split("\n\n") if text.strip()]
    Article.objects.bulk_create(
        (
            Article(
                tenant=tenant,
                title=" ".join(chance.sample(chance.choice(paragraphs).split() * 4, 4))[:200],
                body="\n\n".join(chance.sample(paragraphs, 4)),
                stamp=new_stamp(),
            )
            for _ in range(size)
        ),
        batch_size=500,
    )
    tables = sorted((ROOT / "benchmarks" / "knowledge").glob("*.tune.csv"))
    questions = [row["question"] for path in tables for row in csv.DictReader(path.read_text().splitlines())]
    if size > 5000:
        questions = questions[::8]

    def search(question: str) -> float:
        began = time.perf_counter()
        retrieval.search(tenant_id=tenant.id, question=question)
        return (time.perf_counter() - began) * 1000

    first = search(questions[0])
    for question in questions:
        search(question)
    cpu = time.process_time()
    times = sorted(map(search, questions))
    cpu = (time.process_time() - cpu) * 1000 / len(questions)
    most = times[len(times) * 95 // 100]
    return f"| {size:,} | {first:.0f} | {cpu:.1f} | {statistics.median(times):.1f} | {most:.1f} |"


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [16, 1000])
