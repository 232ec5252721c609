"""What does each event look like on the wire?

Pure functions, one for each event of the WebSocket and of the SSE stream; nothing else in the code
writes these words. Fields beyond the seed documents are additive (DESIGN, law 5).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chats.models import Chat, Message
from core.errors import AGENT_ERROR, ApiError
from core.payload import write_json


def connection_established(*, user_id: str, chat: Chat) -> str:
    """The first event of every connection that is admitted."""
    return _event(
        "connection_established", user_id=user_id, chat_id=chat.id, tenant_id=chat.tenant_id, status=chat.status
    )


def user_created(*, user_id: str) -> str:
    """This connection made the user."""
    return _event("user_created", user_id=user_id)


def message_received(message: Message) -> str:
    """A user's message is in the database. Reads message.user."""
    fields: dict[str, Any] = {}
    if message.client_message_id is not None:
        fields["client_message_id"] = message.client_message_id
    return _event(
        "message_received",
        message_id=message.id,
        chat_id=message.chat_id,
        user_id=message.user.external_id,
        content=message.content,
        sequence=message.sequence,
        **fields,
    )


def stream_started(
    *, chat_id: Any, user_id: str, message_id: Any, reply_to: Any, resumed: bool = False, metadata: Any = None
) -> str:
    """A reply's turn has come or, `resumed`, its text follows from its beginning."""
    fields: dict[str, Any] = {"resumed": True} if resumed else {}
    return _event(
        "message_stream_started",
        chat_id=chat_id,
        user_id=user_id,
        message_id=message_id,
        reply_to=reply_to,
        **fields,
        **_author(metadata),
    )


def stream_token(*, chat_id: Any, message_id: Any, token: str, offset: int) -> str:
    """The next characters of a reply, and how many came before them."""
    return _event("message_stream_token", chat_id=chat_id, token=token, message_id=message_id, offset=offset)


def stream_ended(message: Message, *, resumed: bool = False) -> str:
    """A reply is in the history. Reads message.user."""
    fields: dict[str, Any] = {"resumed": True} if resumed else {}
    for mark in ("stopped", "failed"):
        if message.metadata.get(mark):
            fields[mark] = True
    return _event(
        "message_stream_ended",
        message_id=message.id,
        chat_id=message.chat_id,
        user_id=message.user.external_id,
        content=message.content,
        sequence=message.sequence,
        reply_to=message.reply_to_id,
        metadata=message.public_metadata,
        **fields,
        **_author(message.metadata),
    )


def told(message: Message, *, resumed: bool = False) -> list[str]:
    """The events of a message that nobody saw being said: a user's, or a reply as started, one token, ended."""
    if message.role == Message.Role.USER:
        return [message_received(message)]
    started = stream_started(
        chat_id=message.chat_id,
        user_id=message.user.external_id,
        message_id=message.id,
        reply_to=message.reply_to_id,
        resumed=resumed,
        metadata=message.metadata,
    )
    frames = [started]
    if message.content:
        frames.append(stream_token(chat_id=message.chat_id, message_id=message.id, token=message.content, offset=0))
    return [*frames, stream_ended(message)]


def replay_ended(*, complete: bool) -> str:
    """What was missed has been told or, not `complete`, the oldest part of it."""
    return _event("replay_ended", complete=complete)


def chat_status_changed(*, chat_id: Any, status: str) -> str:
    """The chat was escalated, handed back, closed or opened again."""
    return _event("chat_status_changed", chat_id=chat_id, status=status)


def message_rated(message: Message) -> str:
    """What its reader thinks of a reply of the agent is stored."""
    return _event("message_rated", chat_id=message.chat_id, message_id=message.id, rating=message.rating)


def pong() -> str:
    """The answer to a ping."""
    return _event("pong")


def error(problem: ApiError, *, client_message_id: str | None = None) -> str:
    """Something was refused or failed."""
    body = problem.lexicon_body()
    if client_message_id is not None:
        body["details"]["client_message_id"] = client_message_id
    return _event("error", **body)


def agent_error() -> str:
    """The reply that ends next failed."""
    return error(ApiError(AGENT_ERROR))


def sse_event(number: int, data: dict[str, Any]) -> bytes:
    """One event of an SSE stream, byte for byte as CONTRACT.md frames it."""
    return b"id: %d\ndata: %b\n\n" % (number, write_json(data))


def sse_delta(number: int, text: str) -> bytes:
    """The next characters of a reply."""
    return sse_event(number, {"type": "delta", "text": text})


def sse_escalated(number: int) -> bytes:
    """A person answers from now on."""
    return sse_event(number, {"type": "status", "status": "escalated"})


def sse_error(number: int, message: str) -> bytes:
    """The stream ends without a whole reply."""
    return sse_event(number, {"type": "error", "message": message})


def sse_done(number: int) -> bytes:
    """The last event of every stream."""
    return b"id: %d\ndata: [DONE]\n\n" % number


SSE_PING = b": ping\n\n"


def _event(event_type: str, **fields: Any) -> str:
    return write_json({"event_type": event_type, "timestamp": datetime.now(UTC), **fields}).decode()


def _author(metadata: dict[str, Any] | None) -> dict[str, Any]:
    if not metadata or metadata.get("author") != "human":
        return {}
    return {"author": "human", "author_name": metadata.get("author_name", "")}
