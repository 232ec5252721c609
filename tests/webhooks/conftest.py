"""Endpoints of Acme and Globex, receivers that are real, and a sender."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.conf import LazySettings

from chats.chats import do_create_chat
from chats.models import Chat
from core.db.executor import in_thread
from tests.faults.conftest import new_server, on_own_database  # noqa: F401 (fixtures)
from tests.support.actors import Actor, new_actor
from tests.support.client import eventually
from tests.webhooks.receiver import Receiver, Trap, run_receiver
from webhooks import sender
from webhooks.endpoints import do_create_endpoint
from webhooks.models import Delivery, Endpoint, Event

EVERYTHING = [str(event) for event, _ in Endpoint.EVENTS]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as running:
        yield running


@pytest.fixture
def other_receiver() -> Iterator[Receiver]:
    with run_receiver() as running:
        yield running


@pytest.fixture
def trap() -> Iterator[Trap]:
    listening = Trap()
    yield listening
    listening.close()


@pytest.fixture
def acme(db: None) -> Actor:
    return new_actor("Acme")


@pytest.fixture
def globex(db: None) -> Actor:
    return new_actor("Globex")


def new_endpoint(actor: Actor, url: str = "https://acme.example/hook", events: list[str] | None = None) -> Endpoint:
    return do_create_endpoint(tenant=actor.tenant, url=url, events=EVERYTHING if events is None else events)


def new_chat(actor: Actor, **fields: Any) -> Chat:
    return do_create_chat(tenant_id=actor.tenant_id, **{"user_id": "alice", "metadata": {}, **fields})


def new_delivery(endpoint: Endpoint, **fields: Any) -> Delivery:
    told = {"event": Event.MESSAGE, "body": '{"event":"message.created"}'}
    return Delivery.objects.create(tenant_id=endpoint.tenant_id, endpoint=endpoint, **{**told, **fields})


def deliveries(actor: Actor) -> list[Delivery]:
    return list(Delivery.objects.for_tenant(actor.tenant_id).order_by("created_at"))


@pytest.fixture
def real_acme(on_own_database: None) -> Actor:  # noqa: F811
    """Acme in a database of this test's own, which a sender's threads see too."""
    return new_actor("Acme")


@pytest.fixture
async def sending(
    on_own_database: None,  # noqa: F811
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[sender.Sender]:
    """A sender at work, which may reach this machine."""
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.05)
    running = sender.Sender()
    task = asyncio.create_task(running.run())
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(delivery: Delivery, **fields: Any) -> Delivery:
    """The delivery, once its row says so."""

    def read() -> bool:
        delivery.refresh_from_db(from_queryset=Delivery.objects.for_tenant(delivery.tenant_id))
        return all(getattr(delivery, name) == value for name, value in fields.items())

    await eventually(lambda: in_thread(read))
    return delivery


async def arrivals(receiver: Receiver, count: int) -> None:
    """Wait until so many requests have arrived."""

    async def enough() -> bool:
        return len(receiver.arrived) >= count

    await eventually(enough)
