"""How do articles get their vectors, besides everything else?

Where there is a model of embeddings, each server process runs an embedding worker. It looks every few seconds for
published articles whose vectors are missing or older than their text. No saving waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid

from core.db.executor import in_thread
from core.errors import ApiError
from knowledge import embeddings, pgvector, vectors
from knowledge.models import Article

logger = logging.getLogger(__name__)

#: Seconds between two looks where there was nothing to do.
LOOK_SECONDS = 5.0


async def run() -> None:
    """Give articles their vectors until cancelled."""
    has_looked_back = False
    while True:
        try:
            if not has_looked_back:
                await in_thread(_look_back)
                has_looked_back = True
            if await embed_some():
                continue
        except ApiError:
            pass  # The database is away; the heartbeat says so in the log.
        except embeddings.NoVectors as error:
            logger.warning("articles get no vectors: %s", error)
        except Exception:
            logger.exception("giving articles vectors failed; it goes on")
        await asyncio.sleep(LOOK_SECONDS)


def _look_back() -> None:
    """Copy for pgvector what processes of an older version stored since the last `manage.py migrate`."""
    pgvector.fill()
    if pgvector.is_used():
        logger.info("vectors are compared by pgvector")
    elif pgvector.can_be_had():
        logger.info("vectors are compared in Python; manage.py migrate and a restart let pgvector do it")


async def embed_some(tenant_id: uuid.UUID | None = None) -> int:
    """Give a few articles their vectors, of all tenants or one; how many those were. Raises NoVectors."""
    due = await in_thread(vectors.claim_due, tenant_id=tenant_id)
    for number, article in enumerate(due):
        try:
            await _embed(article)
        except embeddings.NoVectors:
            await in_thread(vectors.put_off, due[number:])
            raise
    return len(due)


async def _embed(article: Article) -> None:
    texts = vectors.parts(article)
    found: list[embeddings.Vector] = []
    for start in range(0, len(texts), embeddings.BATCH):
        found += await embeddings.embed(texts[start : start + embeddings.BATCH])
    await in_thread(vectors.save_vectors, article, found)
