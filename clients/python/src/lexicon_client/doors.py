"""How does a session get in: by the key of a tenant's backend, or by a chat token, which is all that a user holds?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lexicon_client import calls
from lexicon_client.session import Session
from lexicon_client.transport import AsyncTransport, Transport, socket_address

#: Where to connect, and the headers to send.
Way = tuple[str, dict[str, str]]

#: A chat token, or what gives a fresh one for each connection.
TokenSource = str | Callable[[], str]
AsyncTokenSource = str | Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class KeyDoor:
    """For a tenant's backend. How the chat stands is asked first."""

    transport: Transport
    key: str

    def way(self, session: Session) -> Way:
        """The way to the next connection."""
        query = session.connecting(self.transport.send(calls.get_chat(session.chat_id)))
        return f"{socket_address(str(self.transport.http.base_url))}?{query}", {"X-API-Key": self.key}


@dataclass(frozen=True, slots=True)
class TokenDoor:
    """For one user in one chat, both named by the token."""

    base_url: str
    token: TokenSource

    def way(self, session: Session) -> Way:
        """The way to the next connection."""
        token = self.token if isinstance(self.token, str) else self.token()
        return f"{socket_address(self.base_url)}?{session.connecting_with(token)}", {}


@dataclass(frozen=True, slots=True)
class AsyncKeyDoor:
    """For a tenant's backend. How the chat stands is asked first."""

    transport: AsyncTransport
    key: str

    async def way(self, session: Session) -> Way:
        """The way to the next connection."""
        query = session.connecting(await self.transport.send(calls.get_chat(session.chat_id)))
        return f"{socket_address(str(self.transport.http.base_url))}?{query}", {"X-API-Key": self.key}


@dataclass(frozen=True, slots=True)
class AsyncTokenDoor:
    """For one user in one chat, both named by the token."""

    base_url: str
    token: AsyncTokenSource

    async def way(self, session: Session) -> Way:
        """The way to the next connection."""
        token = self.token if isinstance(self.token, str) else await self.token()
        return f"{socket_address(self.base_url)}?{session.connecting_with(token)}", {}
