"""What is asked of the service, in which words, and how is its answer read? Nothing here touches the network."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from lexicon_client import models

T = TypeVar("T")

Order = Literal["asc", "desc"]
Rating = Literal["up", "down"]

_CHATS = "/api/v1/chats"
_CONVERSATIONS = "/api/v1/customer/conversations"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and what its answer becomes."""

    method: str
    path: str
    read: Callable[[Any], T]
    params: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    #: Whether it may be sent again where no answer came.
    repeatable: bool = True

    @property
    def request(self) -> dict[str, Any]:
        """It as httpx takes it."""
        return {
            "method": self.method,
            "url": self.path,
            "params": self.params,
            "json": self.body,
            "headers": self.headers,
        }


def create_chat(
    user_id: str, title: str | None, metadata: dict[str, Any] | None, idempotency_key: str | None
) -> Call[models.Chat]:
    """Make a chat, once however often it is sent."""
    body = _given(user_id=user_id, title=title, metadata=metadata)
    return Call("POST", f"{_CHATS}/", models.read_chat, body=body, headers=_once(idempotency_key))


def list_chats(user_id: str | None, offset: int, limit: int, order: Order) -> Call[models.Page[models.Chat]]:
    """A page of the chats of a user or of the tenant."""
    params = _page(offset, limit, order) | _given(user_id=user_id)
    return Call("GET", f"{_CHATS}/", models.read_chats, params=params)


def get_chat(chat_id: str) -> Call[models.Chat]:
    """One chat."""
    return Call("GET", _chat(chat_id), models.read_chat)


def update_chat(
    chat_id: str, title: str | None, metadata: dict[str, Any] | None, status: str | None
) -> Call[models.Chat]:
    """Change what is given of a chat."""
    return Call("PATCH", _chat(chat_id), models.read_chat, body=_given(title=title, metadata=metadata, status=status))


def delete_chat(chat_id: str, force: bool) -> Call[None]:
    """Delete a chat for good. A repeat would say that there is none."""
    params = {"force": "true"} if force else {}
    return Call("DELETE", _chat(chat_id), lambda _: None, params=params, repeatable=False)


def list_messages(chat_id: str, offset: int, limit: int, order: Order) -> Call[models.Page[models.Message]]:
    """A page of a chat's history."""
    return Call("GET", f"{_chat(chat_id)}/messages", models.read_messages, params=_page(offset, limit, order))


def rate_message(chat_id: str, message_id: str, rating: Rating | None) -> Call[models.Message]:
    """Rate a reply of the agent."""
    path = f"{_chat(chat_id)}/messages/{quote(message_id, safe='')}"
    return Call("PATCH", path, models.read_message, body={"rating": rating})


def rate_frame(message_id: str, rating: Rating | None) -> str:
    """The same as a frame of a session."""
    return json.dumps({"action": "rate", "message_id": message_id, "rating": rating})


def create_token(chat_id: str, user_id: str | None, ttl_seconds: int | None) -> Call[models.ChatToken]:
    """Make a chat token; a repeat makes another, which harms nobody."""
    body = _given(user_id=user_id, ttl_seconds=ttl_seconds)
    return Call("POST", f"{_chat(chat_id)}/tokens", models.read_token, body=body)


def create_conversation(
    customer_identifier: str | None, metadata: dict[str, Any] | None, idempotency_key: str | None
) -> Call[str]:
    """Make a conversation, once however often it is sent: its id."""
    body = _given(customerIdentifier=customer_identifier, metadata=metadata)
    return Call("POST", _CONVERSATIONS, _read_id, body=body, headers=_once(idempotency_key))


def conversation_history(conversation_id: str) -> Call[models.Conversation]:
    """All that was said in a conversation."""
    return Call("GET", f"{_conversation(conversation_id)}/messages", models.read_conversation)


def post_message(conversation_id: str, message: str, idempotency_key: str) -> Call[None]:
    """Say something, once however often it is sent; the answer is a stream."""
    return Call(
        "POST",
        f"{_conversation(conversation_id)}/messages",
        lambda _: None,
        body={"message": message},
        headers=_once(idempotency_key),
    )


def go_on(conversation_id: str, stream_id: str, last_event_id: str | None) -> Call[None]:
    """The rest of a stream that was cut."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    path = f"{_conversation(conversation_id)}/stream"
    return Call("GET", path, lambda _: None, params={"stream": stream_id}, headers=headers)


def new_key() -> str:
    """A key that nobody has used."""
    return uuid.uuid4().hex


def _chat(chat_id: str) -> str:
    return f"{_CHATS}/{quote(chat_id, safe='')}"


def _conversation(conversation_id: str) -> str:
    return f"{_CONVERSATIONS}/{quote(conversation_id, safe='')}"


def _page(offset: int, limit: int, order: Order) -> dict[str, str]:
    return {"offset": str(offset), "limit": str(limit), "order": order}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _once(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key or new_key()}


def _read_id(body: dict[str, Any]) -> str:
    conversation_id: str = body["conversationId"]
    return conversation_id
