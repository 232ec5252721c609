"""Acme and Globex with nothing yet, an article of theirs, and a scripted model in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from core import client_sessions
from knowledge import article_store
from knowledge.models import Article
from tenants.models import Tenant
from tests.support.actors import new_actor
from tests.support.model_server import ModelServer

Write = Callable[..., Article]


@pytest.fixture
def acme(db: None) -> Tenant:
    """The tenant that owns."""
    return new_actor("Acme").tenant


@pytest.fixture
def globex(db: None) -> Tenant:
    """The tenant that must see nothing."""
    return new_actor("Globex").tenant


@pytest.fixture
def write(acme: Tenant) -> Write:
    """Writes an article of Acme's: `write("Title", "Body")`."""

    def save(title: str, body: str, *, tenant: Tenant = acme, **fields: Any) -> Article:
        article = Article(tenant=tenant, title=title, body=body, **fields)
        article_store.save_article(article)
        return article

    return save


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """A model that does as it is told."""
    async with ModelServer() as server:
        yield server
        await client_sessions.close()
