"""What does the service answer? Fields this client does not know are left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat, as a tenant's backend sees it."""

    id: str
    user_id: str
    tenant_id: str
    title: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime | None
    message_count: int
    #: active, escalated or closed
    status: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a chat's history."""

    id: str
    #: Its place in the chat: 1, 2, 3, …
    sequence: int
    #: user or assistant
    sender_role: str
    content: str
    user_id: str
    #: The message that this reply answers.
    reply_to: str | None
    created_at: datetime
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list."""

    items: list[T]
    total: int
    offset: int
    limit: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class ChatToken:
    """What a browser holds instead of a key."""

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of a conversation, as the customer API has it."""

    #: user or assistant
    role: str
    content: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Conversation:
    """All that was said in a conversation, oldest first."""

    turns: list[Turn]
    status: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that has ended, as the history has it."""

    message_id: str
    reply_to: str | None
    sequence: int
    content: str
    metadata: dict[str, Any]
    stopped: bool = False
    failed: bool = False


def read_chat(body: dict[str, Any]) -> Chat:
    """A chat from its JSON."""
    last = body["last_message_at"]
    return Chat(
        id=body["id"],
        user_id=body["user_id"],
        tenant_id=body["tenant_id"],
        title=body["title"],
        metadata=body["config"]["metadata"],
        created_at=datetime.fromisoformat(body["created_at"]),
        updated_at=datetime.fromisoformat(body["updated_at"]),
        last_message_at=None if last is None else datetime.fromisoformat(last),
        message_count=body["message_count"],
        status=body["status"],
    )


def read_message(body: dict[str, Any]) -> Message:
    """A message from its JSON."""
    return Message(
        id=body["id"],
        sequence=body["sequence"],
        sender_role=body["sender_role"],
        content=body["content"],
        user_id=body["user_id"],
        reply_to=body["reply_to"],
        created_at=datetime.fromisoformat(body["created_at"]),
        metadata=body["metadata"],
    )


def read_chats(body: dict[str, Any]) -> Page[Chat]:
    """A page of chats from its JSON."""
    return _page([read_chat(item) for item in body["chats"]], body)


def read_messages(body: dict[str, Any]) -> Page[Message]:
    """A page of messages from its JSON."""
    return _page([read_message(item) for item in body["messages"]], body)


def read_token(body: dict[str, Any]) -> ChatToken:
    """A chat token from its JSON."""
    return ChatToken(body["token"], datetime.fromisoformat(body["expires_at"]))


def read_conversation(body: dict[str, Any]) -> Conversation:
    """A conversation's history from its JSON."""
    turns = [
        Turn(item["role"], item["content"], datetime.fromisoformat(item["createdAt"])) for item in body["messages"]
    ]
    return Conversation(turns, body["status"])


def read_reply(event: dict[str, Any]) -> Reply:
    """A reply from its `message_stream_ended`."""
    return Reply(
        message_id=event["message_id"],
        reply_to=event["reply_to"],
        sequence=event["sequence"],
        content=event["content"],
        metadata=event["metadata"],
        stopped=event.get("stopped", False),
        failed=event.get("failed", False),
    )


def _page(items: list[T], body: dict[str, Any]) -> Page[T]:
    return Page(items, body["total"], body["offset"], body["limit"], body["has_more"])
