"""How does an operator have articles get their vectors at once?"""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import client_sessions
from knowledge import embeddings
from knowledge.embedding_worker import embed_some


class Command(BaseCommand):
    help = "Give all published articles the vectors that they lack. Servers do this by themselves."

    def handle(self, *args: Any, **options: Any) -> None:
        if not embeddings.is_on():
            raise CommandError("EMBEDDING_MODEL names no model. It must look like openai:text-embedding-3-small.")
        try:
            done = asyncio.run(_embed_all())
        except embeddings.NoVectors as error:
            raise CommandError(f"Not all articles have their vectors: {error}.") from error
        self.stdout.write(f"{done} articles got vectors.")


async def _embed_all() -> int:
    done = 0
    try:
        while some := await embed_some():
            done += some
    finally:
        await client_sessions.close()
    return done
