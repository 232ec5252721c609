"""Which vectors do a tenant's articles have, and which articles mean most nearly what a vector means?"""

from __future__ import annotations

import re
import sys
import uuid
from array import array
from datetime import timedelta
from operator import mul

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from knowledge import pgvector
from knowledge.embeddings import Vector
from knowledge.inverted_index import TenantIndex, published
from knowledge.models import Article, PassageVector

#: Longest part of an article that gets a vector of its own, in characters, and most parts of one article.
PART_CHARACTERS = 1200
MOST_PARTS = 50
#: Most vectors of a tenant that a question is compared with in Python; further articles are found by words alone.
#: At 1,536 numbers each, one takes some 0.1 ms and 6 KB.
MOST_VECTORS = 2000
#: Articles that a process takes on at once, how long it may be at them, and how long it waits after a failure.
AT_ONCE = 16
CLAIM = timedelta(minutes=5)
BACK_OFF = timedelta(minutes=1)

_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


def parts(article: Article) -> list[str]:
    """The parts of an article that get vectors, each with its title: paragraphs, short ones together."""
    found = [""]
    for paragraph in _BLANK_LINES.split(article.body.replace("\r\n", "\n").strip()):
        if len(found[-1]) + len(paragraph) > PART_CHARACTERS and found[-1]:
            found.append("")
        found[-1] = f"{found[-1]}\n\n{paragraph}".strip()[:PART_CHARACTERS]
    return [f"{article.title}\n\n{part}" for part in found[:MOST_PARTS]]


@transaction.atomic
def claim_due(*, tenant_id: uuid.UUID | None = None) -> list[Article]:
    """A few published articles whose vectors are missing or old, of all tenants or one; they are this process's now."""
    articles = Article.objects.for_tenant(tenant_id) if tenant_id else Article.objects.all_tenants()
    now = timezone.now()
    current = Q(embedded_stamp=F("stamp"), embedded_by=settings.EMBEDDING_MODEL, embedded_stamp__isnull=False)
    due = articles.filter(~current, state=Article.State.PUBLISHED)
    due = due.filter(Q(embed_after=None) | Q(embed_after__lte=now)).order_by("id")
    taken = list(due.select_for_update(no_key=True, skip_locked=True)[:AT_ONCE])
    for article in taken:
        own = Article.objects.for_tenant(article.tenant_id).filter(id=article.id)
        own.update(embed_after=now + CLAIM)
    return taken


@transaction.atomic
def save_vectors(article: Article, vectors: list[Vector]) -> None:
    """Store the vectors of an article's parts, unless it was changed meanwhile."""
    own = Article.objects.for_tenant(article.tenant_id).filter(id=article.id, stamp=article.stamp)
    done = {"embedded_stamp": article.stamp, "embedded_by": settings.EMBEDDING_MODEL, "embed_after": None}
    if not own.update(**done):
        Article.objects.for_tenant(article.tenant_id).filter(id=article.id).update(embed_after=None)
        return
    PassageVector.objects.for_tenant(article.tenant_id).filter(article=article).delete()
    rows = PassageVector.objects.bulk_create(
        PassageVector(tenant_id=article.tenant_id, article=article, position=position, vector=_pack(vector))
        for position, vector in enumerate(vectors)
    )
    # Asked anew: a process that compares in Python writes for those, too, that began after the column was there.
    if pgvector.has_column():
        pgvector.put((row.pk, bytes(row.vector)) for row in rows)


def put_off(articles: list[Article]) -> None:
    """These got no vectors now; they are tried again in a while."""
    for article in articles:
        own = Article.objects.for_tenant(article.tenant_id).filter(id=article.id)
        own.update(embed_after=timezone.now() + BACK_OFF)


def nearest(tenant_id: uuid.UUID, tenant_index: TenantIndex, vector: Vector) -> dict[uuid.UUID, float]:
    """The cosine (-1 to 1) of each article that has vectors: that of its part that means most nearly the same.

    Of many articles only those that are nearest.
    """
    if pgvector.is_used() and len(vector) <= pgvector.MOST_NUMBERS:
        passages = PassageVector.objects.for_tenant(tenant_id).filter(article__in=_current(tenant_id))
        return pgvector.nearest(passages, _pack(vector))
    return nearest_in_python(tenant_id, tenant_index, vector)


def nearest_in_python(tenant_id: uuid.UUID, tenant_index: TenantIndex, vector: Vector) -> dict[uuid.UUID, float]:
    """The same on any database, of the first MOST_VECTORS vectors."""
    rows = _current(tenant_id).order_by("id").values_list("id", "stamp")
    stamps = {key: (stamp, settings.EMBEDDING_MODEL) for key, stamp in rows}
    with tenant_index.lock:
        kept = {key: known for key, known in tenant_index.vectors.items() if stamps.get(key) == known[0]}
        missing = [key for key in stamps if key not in kept]
        for start in range(0, len(missing), 500):
            passages = PassageVector.objects.for_tenant(tenant_id).filter(article_id__in=missing[start : start + 500])
            for article_id, packed in passages.order_by().values_list("article_id", "vector"):
                kept.setdefault(article_id, (stamps[article_id], []))[1].append(_unpack(bytes(packed)))
            if sum(len(vectors) for _, vectors in kept.values()) > MOST_VECTORS:
                break
        tenant_index.vectors = kept
    room = MOST_VECTORS
    cosines = {}
    for article_id, (_, vectors) in kept.items():
        room -= len(vectors)
        if room < 0:
            break
        fitting = [sum(map(mul, vector, other)) for other in vectors if len(other) == len(vector)]
        if fitting:
            cosines[article_id] = max(fitting)
    return cosines


def _current(tenant_id: uuid.UUID) -> QuerySet[Article]:
    """Those that may be quoted and whose vectors are of their present text."""
    return published(tenant_id).filter(embedded_stamp=F("stamp"), embedded_by=settings.EMBEDDING_MODEL)


def _pack(vector: Vector) -> bytes:
    return _little(vector).tobytes()


def _unpack(packed: bytes) -> Vector:
    vector = array("f")
    vector.frombytes(packed)
    return _little(vector)


def _little(vector: Vector) -> Vector:
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return vector
