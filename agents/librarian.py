"""How do articles get their vectors, besides everything else?

Where there is a model of embeddings, each server process runs a librarian. It looks every few seconds for published
articles whose vectors are missing or older than their text. No saving waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid

from agents import embeddings, vectors
from agents.models import Article
from lexicon.database import in_thread
from lexicon.errors import ApiError

logger = logging.getLogger(__name__)

#: Seconds between two looks where there was nothing to do.
LOOK_SECONDS = 5.0


async def run() -> None:
    """Give articles their vectors until cancelled."""
    while True:
        try:
            if await embed_some():
                continue
        except ApiError:
            pass  # The database is away; the heartbeat says so in the log.
        except embeddings.NoVectors as error:
            logger.warning("articles get no vectors: %s", error)
        except Exception:
            logger.exception("giving articles vectors failed; it goes on")
        await asyncio.sleep(LOOK_SECONDS)


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
