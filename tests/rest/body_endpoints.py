"""The three places of HTTP that take a body."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chats.models import Chat, Message
from tests.rest.wire import Answer, assert_refused, exchange
from tests.support.actors import Actor


class Door:
    """A place that takes a body, and how a body for it is spelled."""

    def __init__(self, actor: Actor, face: str, path: str, needed: str) -> None:
        self.actor = actor
        self.face = face
        self.path = path
        #: The members the body needs besides the one that is tried.
        self.needed = needed

    def send(self, body: bytes | Iterable[bytes], content_type: str = "application/json") -> Answer:
        key = {"X-API-Key": self.actor.tenant_key, "Authorization": f"Bearer {self.actor.customer_key}"}
        headers = {**key, "Content-Type": content_type}
        return exchange(self.actor.base, "POST", self.path, headers=headers, body=body)

    def stored(self) -> tuple[int, int]:
        """How many chats and messages the tenant has."""
        tenant_id = self.actor.tenant_id
        return Chat.objects.for_tenant(tenant_id).count(), Message.objects.for_tenant(tenant_id).count()

    def assert_refuses(self, body: bytes, status: int = 400, code: str = "INVALID_REQUEST") -> dict[str, Any]:
        before = self.stored()
        refusal = assert_refused(self.send(body), status, code, face=self.face)
        assert self.stored() == before
        return refusal


def doors_of(actor: Actor) -> dict[str, Door]:
    """The tenant's doors by what they make."""
    conversations = "/api/v1/customer/conversations"
    messages = f"{conversations}/{actor.new_conversation()}/messages"
    return {
        "chat": Door(actor, "lexicon", "/api/v1/chats/", '"user_id": "alice"'),
        "conversation": Door(actor, "customer", conversations, '"customerIdentifier": "alice"'),
        "message": Door(actor, "customer", messages, '"message": "hi"'),
    }
