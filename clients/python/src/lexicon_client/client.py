"""What may a tenant's backend do? Chats, their history and their tokens, and sessions to talk in."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from lexicon_client import calls
from lexicon_client.calls import Order, Rating
from lexicon_client.doors import KeyDoor
from lexicon_client.models import Chat, ChatToken, Message, Page
from lexicon_client.session import Session
from lexicon_client.sockets import ChatSession
from lexicon_client.transport import Transport

_MOST = 100


class Client:
    """Speaks for a tenant, with its tenant key (lxt_…)."""

    def __init__(self, base_url: str, key: str, *, timeout: float = 30, attempts: int = 8) -> None:
        self._key = key
        self._transport = Transport(base_url, {"X-API-Key": key}, timeout=timeout, attempts=attempts)

    def create_chat(
        self,
        user_id: str,
        *,
        title: str | None = None,
        metadata: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Chat:
        """Make a chat of a user, who is made when unknown."""
        return self._transport.send(calls.create_chat(user_id, title, metadata, idempotency_key))

    def list_chats(
        self, user_id: str | None = None, *, offset: int = 0, limit: int = 50, order: Order = "desc"
    ) -> Page[Chat]:
        """A page of the chats of a user or, without one, of the tenant."""
        return self._transport.send(calls.list_chats(user_id, offset, limit, order))

    def get_chat(self, chat_id: str) -> Chat:
        """One chat."""
        return self._transport.send(calls.get_chat(chat_id))

    def update_chat(
        self,
        chat_id: str,
        *,
        title: str | None = None,
        metadata: dict[str, Any] | None = None,
        status: str | None = None,
    ) -> Chat:
        """Change what is given; `status` may become active or closed."""
        return self._transport.send(calls.update_chat(chat_id, title, metadata, status))

    def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        """Delete a chat for good; with `force` also while WebSockets are open on it."""
        self._transport.send(calls.delete_chat(chat_id, force))

    def list_messages(self, chat_id: str, *, offset: int = 0, limit: int = 50, order: Order = "asc") -> Page[Message]:
        """A page of a chat's history."""
        return self._transport.send(calls.list_messages(chat_id, offset, limit, order))

    def iter_messages(self, chat_id: str, *, after: int = 0) -> Iterator[Message]:
        """All messages of a chat (or those after a sequence), oldest first."""
        while True:
            page = self.list_messages(chat_id, offset=after, limit=_MOST)
            yield from page.items
            after += len(page.items)
            if not page.has_more:
                return

    def rate_message(self, chat_id: str, message_id: str, rating: Rating | None) -> Message:
        """Say what the reader of a reply of the agent thinks of it, or None to take it back."""
        return self._transport.send(calls.rate_message(chat_id, message_id, rating))

    def create_token(self, chat_id: str, *, user_id: str | None = None, ttl_seconds: int | None = None) -> ChatToken:
        """Make a chat token, for a browser: for the chat's user unless another is named."""
        return self._transport.send(calls.create_token(chat_id, user_id, ttl_seconds))

    def session(self, chat_id: str, user_id: str, *, after: int | None = None) -> ChatSession:
        """A session to talk in: `with client.session(…) as chat`. With `after`, what came since is told first."""
        session = Session(chat_id, user_id, after, self._transport.attempts)
        return ChatSession(KeyDoor(self._transport, self._key), session)

    def close(self) -> None:
        """Let go of all connections."""
        self._transport.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
