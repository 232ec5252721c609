"""A client that comes back costs the database six statements at most, from its handshake to its greeting.

Counted is what is sent on its behalf, in whatever thread: neither a transaction's beginning and end, nor what servers
ask by themselves meanwhile, as where the chats stand that they have just subscribed to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db.backends.utils import CursorWrapper

from chats.models import Connection, Process
from chats.places import DRAWN
from chats.tokens import make_token
from core.db.executor import in_thread
from core.observability import logs
from tenants.models import ApiKey, EndUser, Tenant
from tests.support.actors import Actor
from tests.support.servers import Server

MOST = 6
ADDRESS = "203.0.113.9"


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: the statements are those of this process."""
    return live_server_uvicorn


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Redis: what is read again because another process may have changed it is no part of coming back."""
    monkeypatch.setattr(settings, "REDIS_URL", "")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements on behalf of a socket or its chat."""
    statements: list[str] = []
    real = CursorWrapper.execute

    def take(self: Any, sql: str, params: Any = None) -> Any:
        if logs.about().keys() & {"connection_id", "chat_id"} and not sql.startswith("BEGIN"):
            statements.append(sql)
        return real(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", take)
    return statements


async def greet(query: str) -> WebsocketCommunicator:
    """A socket that has been greeted."""
    from lexicon.asgi import application

    socket = WebsocketCommunicator(application, f"/ws/chat?{query}")
    socket.scope["client"] = (ADDRESS, 4711)
    assert (await socket.connect(timeout=15))[0]
    assert (await socket.receive_json_from(timeout=15))["event_type"] == "connection_established"
    return socket


@pytest.mark.parametrize("who", ["the chat's user", "another user", "a chat token", "a visitor"])
async def test_a_reconnect(acme: Actor, inside: httpx.AsyncClient, sent: list[str], who: str) -> None:
    chat_id = (
        await inside.post("/api/v1/chats/", json={"user_id": "alice"}, headers={"X-API-Key": acme.tenant_key})
    ).json()["id"]
    user = "bob" if who == "another user" else "alice"
    if who in ("a chat token", "a visitor"):
        key = await in_thread(ApiKey.objects.for_tenant(acme.tenant_id).get, kind="tenant")
        given: dict[str, Any] = {"key": key, "chat_id": UUID(chat_id), "user_id": user, "ttl_seconds": 60}
        query = f"token={make_token(**given, of_visitor=who == 'a visitor')[0]}"
    else:
        query = f"api_key={acme.tenant_key}&user_id={user}&chat_id={chat_id}"
    await (await greet(query)).disconnect()
    sent.clear()
    socket = await greet(query)
    statements = list(sent)
    await socket.disconnect()
    assert sum(sql.startswith('INSERT INTO "chats_connection"') for sql in statements) == 1
    assert len(statements) <= MOST, "\n".join(statements)


@pytest.fixture
def crowd(acme: Actor, inside: httpx.AsyncClient) -> Iterator[Callable[[int], None]]:
    """Fill so many places of the tenant's. They are another process's: it would close what it does not know."""
    process = Process.objects.create()

    def fill(count: int) -> None:
        user, _ = EndUser.objects.get_or_create(tenant_id=acme.tenant_id, external_id="alice")
        key = ApiKey.objects.for_tenant(acme.tenant_id).get(kind="tenant")
        chat = user.chat_set.get()
        about = {"process": process, "tenant_id": acme.tenant_id, "chat": chat, "user": user, "key": key}
        Connection.objects.bulk_create(Connection(slot=n + 1, **about) for n in range(count))

    yield fill
    process.delete()


@pytest.mark.parametrize("places", [1, 50, DRAWN])
async def test_the_last_place(
    acme: Actor, inside: httpx.AsyncClient, crowd: Callable[[int], None], sent: list[str], places: int
) -> None:
    """It costs no more than the first."""
    chat_id = (
        await inside.post("/api/v1/chats/", json={"user_id": "alice"}, headers={"X-API-Key": acme.tenant_key})
    ).json()["id"]
    await in_thread(lambda: Tenant.objects.filter(id=acme.tenant_id).update(ws_connections=places))
    await in_thread(crowd, places - 1)
    query = f"api_key={acme.tenant_key}&user_id=alice&chat_id={chat_id}"
    socket = await greet(query)
    statements = list(sent)
    await socket.disconnect()
    # The first use of a key within a minute is noted, which is one more.
    noted = sum(sql.startswith('UPDATE "tenants_apikey"') for sql in statements)
    known = sum('FROM "tenants_apikey"' in sql and '"tenants_account"' not in sql for sql in statements)
    assert len(statements) - noted - known <= MOST, "\n".join(statements)
