"""The Python client, on the shared uvicorn process and its scripted model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from lexicon_client import AsyncClient, AsyncCustomerClient, Client, CustomerClient
from tests.support.actors import Actor
from tests.websocket.conftest import model

__all__ = ["model"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back at once: how long the waits are is a test of its own."""
    monkeypatch.setattr("lexicon_client.backoff.STEPS", (0.2,))


@pytest.fixture
def client(acme: Actor) -> Iterator[Client]:
    with Client(acme.base, acme.tenant_key) as client:
        yield client


@pytest.fixture
async def async_client(acme: Actor) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(acme.base, acme.tenant_key) as client:
        yield client


@pytest.fixture
def customer(acme: Actor) -> Iterator[CustomerClient]:
    with CustomerClient(acme.base, acme.customer_key) as client:
        yield client


@pytest.fixture
async def async_customer(acme: Actor) -> AsyncIterator[AsyncCustomerClient]:
    async with AsyncCustomerClient(acme.base, acme.customer_key) as client:
        yield client
