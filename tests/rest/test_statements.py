"""Every statement on a tenant's rows names the tenant: shown by reading what a request sends to the database."""

from __future__ import annotations

import re
import sys
from typing import Any

import httpx
import pytest
from channels.testing import WebsocketCommunicator
from django.apps import apps
from django.conf import settings
from django.db.backends.utils import CursorWrapper

from chats.models import Chat
from core.db.executor import in_thread
from tenants.models import TenantOwned
from tests.rest.test_queries import ALL_TENANTS, ROOMS, RUN_BY
from tests.support.actors import Actor
from tests.support.servers import Server

TABLES = [model._meta.db_table for model in apps.get_models() if issubclass(model, TenantOwned)]
ON_TABLE = re.compile("|".join(rf'"{table}"' for table in TABLES))
NAMES_TENANT = re.compile(r'"tenant_id" (=|IN) ')


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: the statements are those of this process."""
    return live_server_uvicorn


class Watch:
    """The statements of this process, in whatever thread, and which functions of the service led to each."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, set[str]]] = []

    def take(self, sql: str) -> None:
        callers = set()
        frame = sys._getframe(2)
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.split(".")[0] in ROOMS:
                callers.add(f"{module}.{frame.f_code.co_qualname}")
            frame = frame.f_back  # type: ignore[assignment]
        self.statements.append((sql, callers))

    def on_tenants_rows(self) -> list[tuple[str, set[str]]]:
        """Those that read, change or delete rows of a tenant."""
        return [
            (sql, callers)
            for sql, callers in self.statements
            if sql.startswith(("SELECT", "UPDATE", "DELETE")) and ON_TABLE.search(sql)
        ]

    def offenders(self) -> list[str]:
        """Those that neither name the tenant nor come from a function that may ask about all of them."""
        allowed = {*ALL_TENANTS, *RUN_BY.values()}
        return [
            sql
            for sql, callers in self.on_tenants_rows()
            if not NAMES_TENANT.search(sql.partition(" WHERE ")[2]) and not callers & allowed
        ]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """`connection.execute_wrapper` holds for one thread; a request's statements come from several."""
    watching = Watch()
    for name in ("execute", "executemany"):
        real = getattr(CursorWrapper, name)

        def take(self: Any, sql: str, params: Any = None, real: Any = real) -> Any:
            watching.take(sql)
            return real(self, sql, params)

        monkeypatch.setattr(CursorWrapper, name, take)
    return watching


@pytest.fixture
def acme(acme: Actor, monkeypatch: pytest.MonkeyPatch) -> Actor:
    monkeypatch.setattr(settings, "BUILTIN_WORDS_PER_SECOND", 0)
    acme.tenant.model = "builtin"
    acme.tenant.save()
    return acme


async def test_on_every_route(acme: Actor, inside: httpx.AsyncClient, watch: Watch) -> None:
    inside.headers = {"X-API-Key": acme.tenant_key, "Authorization": f"Bearer {acme.customer_key}"}
    chat_id = (await inside.post("/api/v1/chats/", json={"user_id": "alice", "title": "T"})).json()["id"]
    again = {"Idempotency-Key": chat_id}
    for _ in range(2):
        made = await inside.post("/api/v1/customer/conversations", json={"customerIdentifier": "bob"}, headers=again)
    conversation = "/api/v1/customer/conversations/" + made.json()["conversationId"]
    for message in ("hello", "What are your opening hours?", "I want to talk to a human"):
        streamed = await inside.post(f"{conversation}/messages", json={"message": message})
        assert streamed.content.endswith(b"data: [DONE]\n\n")
    assert (await inside.patch(f"/api/v1/chats/{chat_id}", json={"title": "U", "status": "closed"})).status_code == 200
    assert (await inside.post(f"/api/v1/chats/{chat_id}/tokens")).status_code == 201
    assert (await inside.get(f"{conversation}/stream")).status_code == 204
    for path in ("", "?user_id=alice", "user/alice", chat_id, f"{chat_id}/messages", f"{chat_id}/messages?order=desc"):
        assert (await inside.get(f"/api/v1/chats/{path}")).status_code == 200
    assert (await inside.get(f"{conversation}/messages")).status_code == 200
    assert (await inside.delete(f"/api/v1/chats/{chat_id}")).status_code == 200
    assert (await inside.delete(f"/api/v1/chats/{made.json()['conversationId']}")).status_code == 200
    assert len(watch.on_tenants_rows()) > 50
    assert watch.offenders() == []


async def test_on_the_websocket(acme: Actor, inside: httpx.AsyncClient, watch: Watch) -> None:
    from lexicon.asgi import application

    made = await inside.post("/api/v1/chats/", json={"user_id": "alice"}, headers={"X-API-Key": acme.tenant_key})
    query = f"api_key={acme.tenant_key}&user_id=alice&chat_id={made.json()['id']}"
    socket = WebsocketCommunicator(application, f"/ws/chat?{query}")
    assert (await socket.connect(timeout=15))[0]
    for frame in ({"content": "hello"}, {"content": "and more"}, {"action": "stop"}):
        await socket.send_json_to(frame)
    ended = 0
    while ended < 2:
        ended += (await socket.receive_json_from(timeout=15))["event_type"] == "message_stream_ended"
    await socket.disconnect()
    assert len(watch.on_tenants_rows()) > 20
    assert watch.offenders() == []


async def test_it_catches_one_that_does_not(acme: Actor, watch: Watch) -> None:
    await in_thread(list, Chat.objects.filter(title="x"))
    assert len(watch.offenders()) == 1
    await in_thread(Chat.objects.filter(title="x").update, title="y")
    assert len(watch.offenders()) == 2
    await in_thread(list, Chat.objects.for_tenant(acme.tenant_id).filter(title="x"))
    assert len(watch.offenders()) == 2
