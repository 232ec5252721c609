"""A server with a model of embeddings: articles get vectors by themselves, and questions find them by what they mean.

On one server only: what is tested is not what serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from core.db.executor import in_thread
from knowledge import article_store
from knowledge.models import Article, PassageVector
from tests.conftest import served
from tests.support.client import eventually
from tests.support.servers import Server
from tests.websocket.conftest import NewTenant


@pytest.fixture(scope="module")
def server(pristine: str, model_server: str, folder: Path) -> Iterator[Server]:
    """A process of its own, on the database of all."""
    yield from served(folder / "meaning.log", model_server, EMBEDDING_MODEL="openai:meaning")


async def test_a_question_is_answered_by_what_it_means(new_tenant: NewTenant) -> None:
    # What other tests left in the database would come first, however much it is.
    await in_thread(Article.objects.all_tenants().update, embed_after=timezone.now() + timedelta(days=1))
    actor = await new_tenant(model="builtin", answer_threshold=0.1)
    article = Article(tenant=actor.tenant, title="Parking", body="Leave your car behind the house.")
    await in_thread(article_store.save_article, article)
    vectors = PassageVector.objects.for_tenant(actor.tenant_id)
    await eventually(lambda: in_thread(vectors.exists), seconds=30)
    chat = await in_thread(actor.new_chat)
    socket = await actor.join(chat)
    await socket.send({"content": "Any automobile hints?"})
    ended = await socket.until("message_stream_ended")
    assert "Leave your car behind the house." in ended["content"]
    assert [source["id"] for source in ended["metadata"]["sources"]] == [str(article.id)]
