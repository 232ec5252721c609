"""While too much waits for the database's threads, new messages are refused at once, and nothing else is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings

from core.db import executor
from core.db.executor import in_thread
from core.observability import logs, metrics
from tests.support.actors import Actor
from tests.support.client import SOON, eventually
from tests.support.servers import Server


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: what waits is this process's."""
    return live_server_uvicorn


class Crowd:
    """Units that keep all threads at work, and some more that wait."""

    def __init__(self) -> None:
        self._release = threading.Event()
        self._units: list[asyncio.Task[Any]] = []

    async def come(self, tenant_id: object = None) -> None:
        """Until it leaves, as many units of this tenant, or of nobody, wait as there may be in all."""

        async def unit() -> None:
            logs.begin(tenant_id=tenant_id)
            await in_thread(self._release.wait, SOON)

        self._units = [asyncio.create_task(unit()) for _ in range(executor._pool._most + 2)]

        async def waits() -> bool:
            return executor._pool.is_full(2, lane=str(tenant_id or ""))

        await eventually(waits)

    async def leave(self) -> None:
        self._release.set()
        await asyncio.gather(*self._units)


@pytest.fixture
async def crowd(inside: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    monkeypatch.setattr(settings, "DATABASE_QUEUE", 2)
    crowd = Crowd()
    yield crowd
    await crowd.leave()


def refusals() -> float:
    return metrics.REFUSALS.labels("database_queue")._value.get()


async def test_a_message_on_a_websocket(acme: Actor, inside: httpx.AsyncClient, crowd: Crowd) -> None:
    from lexicon.asgi import application

    made = await inside.post("/api/v1/chats/", json={"user_id": "alice"}, headers={"X-API-Key": acme.tenant_key})
    query = f"api_key={acme.tenant_key}&user_id=alice&chat_id={made.json()['id']}"
    socket = WebsocketCommunicator(application, f"/ws/chat?{query}")
    assert (await socket.connect(timeout=SOON))[0]
    assert (await socket.receive_json_from(timeout=SOON))["event_type"] == "connection_established"
    await crowd.come(acme.tenant_id)
    before = refusals()
    frame = {"content": "hello", "client_message_id": "m1"}
    await socket.send_json_to(frame)
    error = await socket.receive_json_from(timeout=SOON)
    assert (error["event_type"], error["error_code"]) == ("error", "SERVICE_UNAVAILABLE")
    assert error["details"]["client_message_id"] == "m1"
    assert error["details"]["retry_after"] in range(2, 7)
    assert refusals() == before + 1
    await crowd.leave()
    await socket.send_json_to(frame)
    received = await socket.receive_json_from(timeout=SOON)
    assert (received["event_type"], received["sequence"]) == ("message_received", 1)
    await socket.disconnect()


async def test_a_message_over_the_customer_api(acme: Actor, inside: httpx.AsyncClient, crowd: Crowd) -> None:
    inside.headers["Authorization"] = f"Bearer {acme.customer_key}"
    made = await inside.post("/api/v1/customer/conversations", json={})
    address = f"/api/v1/customer/conversations/{made.json()['conversationId']}/messages"
    await crowd.come()
    reading = asyncio.create_task(inside.get(address))
    answer = await inside.post(address, json={"message": "hello"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) in range(2, 7)
    assert answer.json()["code"] == "SERVICE_UNAVAILABLE"
    await crowd.leave()
    # What is no message waited, and was answered.
    assert (await reading).json()["messages"] == []


async def test_a_tenant_that_makes_nobody_wait_is_let_through(
    acme: Actor, inside: httpx.AsyncClient, crowd: Crowd
) -> None:
    await crowd.come("a tenant that asks for much")
    logs.begin(tenant_id=acme.tenant_id)
    executor.check_room()


async def test_without_a_bound(
    acme: Actor, inside: httpx.AsyncClient, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DATABASE_QUEUE", 0)
    await crowd.come()
    executor.check_room()
