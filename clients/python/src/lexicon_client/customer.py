"""What may a customer's backend do? Conversations, their history, and messages whose replies are streamed."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from lexicon_client import calls
from lexicon_client.models import Conversation
from lexicon_client.streaming import AsyncMessageStream, MessageStream
from lexicon_client.transport import AsyncTransport, Transport


class CustomerClient:
    """Speaks over the customer API, with a customer key (lxc_…)."""

    def __init__(self, base_url: str, key: str, *, timeout: float = 30, attempts: int = 8) -> None:
        self._transport = Transport(base_url, {"Authorization": f"Bearer {key}"}, timeout=timeout, attempts=attempts)

    def create_conversation(
        self,
        *,
        customer_identifier: str | None = None,
        metadata: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Make a conversation: its id."""
        return self._transport.send(calls.create_conversation(customer_identifier, metadata, idempotency_key))

    def send_message(self, conversation_id: str, message: str, *, idempotency_key: str | None = None) -> MessageStream:
        """Say something: iterate over what this gives for the tokens of the reply. It is sent when you begin to."""
        return MessageStream(self._transport, conversation_id, message, idempotency_key)

    def history(self, conversation_id: str) -> Conversation:
        """All that was said, oldest first."""
        return self._transport.send(calls.conversation_history(conversation_id))

    def close(self) -> None:
        """Let go of all connections."""
        self._transport.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncCustomerClient:
    """Speaks over the customer API, with a customer key (lxc_…), in an event loop."""

    def __init__(self, base_url: str, key: str, *, timeout: float = 30, attempts: int = 8) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._transport = AsyncTransport(base_url, headers, timeout=timeout, attempts=attempts)

    async def create_conversation(
        self,
        *,
        customer_identifier: str | None = None,
        metadata: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Make a conversation: its id."""
        return await self._transport.send(calls.create_conversation(customer_identifier, metadata, idempotency_key))

    def send_message(
        self, conversation_id: str, message: str, *, idempotency_key: str | None = None
    ) -> AsyncMessageStream:
        """Say something: iterate over what this gives for the tokens of the reply. It is sent when you begin to."""
        return AsyncMessageStream(self._transport, conversation_id, message, idempotency_key)

    async def history(self, conversation_id: str) -> Conversation:
        """All that was said, oldest first."""
        return await self._transport.send(calls.conversation_history(conversation_id))

    async def aclose(self) -> None:
        """Let go of all connections."""
        await self._transport.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
