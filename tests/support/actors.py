"""Who takes part in the tests: Acme, which owns, and Globex, which must see nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from tenants.models import ApiKey, Tenant
from tenants.provisioning import do_create_key, do_create_tenant
from tests.support.client import Socket

#: So that tests of something else never meet a limit.
UNLIMITED = {
    "rest_per_minute": 100_000,
    "ws_messages_per_second": 10_000,
    "ws_connections": 10_000,
    "escalation_after": 0,
}

#: Without verify=False each request would load the list of authorities first (18 ms), and use it for nothing.
_HTTP: dict[str, Any] = {"timeout": 30, "verify": False}


@dataclass
class Actor:
    """A tenant with its keys, and clients that use them."""

    tenant: Tenant
    tenant_key: str
    customer_key: str
    base: str = ""

    @property
    def tenant_id(self) -> uuid.UUID:
        return self.tenant.id

    @property
    def ws(self) -> str:
        return "ws" + self.base.removeprefix("http")

    async def join(self, chat_id: str, user_id: str = "alice", **options: Any) -> Socket:
        """A WebSocket on the chat that has been greeted."""
        socket = await Socket.open(
            self.ws, **{"api_key": self.tenant_key, "user_id": user_id, "chat_id": chat_id, **options}
        )
        await socket.until("connection_established")
        return socket

    def rest(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request of the Lexicon face."""
        headers = {"X-API-Key": self.tenant_key, **options.pop("headers", {})}
        return httpx.request(method, self.base + "/api/v1/chats" + path, headers=headers, **(_HTTP | options))

    def customer(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request of the customer face."""
        headers = {"Authorization": f"Bearer {self.customer_key}", **options.pop("headers", {})}
        return httpx.request(
            method, self.base + "/api/v1/customer/conversations" + path, headers=headers, **(_HTTP | options)
        )

    def new_chat(self, user_id: str = "alice", **fields: Any) -> str:
        answer = self.rest("POST", "/", json={"user_id": user_id, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def new_conversation(self, **fields: Any) -> str:
        answer = self.customer("POST", "", json=fields)
        assert answer.status_code == 201, answer.text
        return answer.json()["conversationId"]


def new_actor(name: str, *, base: str = "", **policy: Any) -> Actor:
    tenant = do_create_tenant(name=name, **{**UNLIMITED, **policy})
    _, tenant_key = do_create_key(tenant=tenant, kind=ApiKey.Kind.TENANT)
    _, customer_key = do_create_key(tenant=tenant, kind=ApiKey.Kind.CUSTOMER)
    return Actor(tenant, tenant_key, customer_key, base)
