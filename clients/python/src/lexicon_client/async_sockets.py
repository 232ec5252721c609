"""How does one talk in a chat over a WebSocket that may break, in an event loop?

Whoever waits for something (a token, an event) reads the socket for all; so nothing runs in the background.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from lexicon_client import calls
from lexicon_client.calls import Rating
from lexicon_client.doors import AsyncKeyDoor, AsyncTokenDoor, AsyncTokenSource
from lexicon_client.failure import Unreachable
from lexicon_client.models import Reply
from lexicon_client.saying import Event, Progress, Saying
from lexicon_client.session import Session
from lexicon_client.text import Token


class AsyncChatSession:
    """One user in one chat; iterate over it for what happens besides the replies to what you say."""

    def __init__(self, door: AsyncKeyDoor | AsyncTokenDoor, session: Session) -> None:
        self._door = door
        self._session = session
        self._socket: ClientConnection | None = None
        self._reading = asyncio.Lock()
        self._closed = False

    @classmethod
    def with_token(cls, base_url: str, token: AsyncTokenSource, *, after: int | None = None, attempts: int = 8) -> Self:
        """A session for whoever holds a chat token and no key; without `after` all of the chat is told first.

        A function in place of a token is asked for a fresh one before each connection.
        """
        session = Session("", "", after, attempts, renewing=not isinstance(token, str))
        return cls(AsyncTokenDoor(base_url, token), session)

    @property
    def after(self) -> int | None:
        """The sequence of the last message heard of: a later session may go on from it."""
        return self._session.after

    @property
    def status(self) -> str:
        """active, escalated or closed."""
        return self._session.status

    async def send(
        self, content: str, *, metadata: dict[str, Any] | None = None, client_message_id: str | None = None
    ) -> AsyncReplyStream:
        """Say something: iterate over what this gives for the tokens of the reply."""
        saying = self._session.say(content, metadata, client_message_id or calls.new_key())
        await self._send(saying.frame)
        return AsyncReplyStream(self, saying)

    async def stop(self) -> None:
        """Stop the reply that is being written, whoever asked."""
        await self._send('{"action": "stop"}')

    async def rate(self, message_id: str, rating: Rating | None) -> None:
        """Say what the user thinks of a reply of the agent, or None to take it back; told by `message_rated`."""
        await self._send(calls.rate_frame(message_id, rating))

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events as they come, for ever."""
        while True:
            await self._until(lambda: bool(self._session.events))
            yield self._session.events.popleft()

    async def aclose(self) -> None:
        """Leave. Replies go on without us."""
        self._closed = True
        await self._disconnect()

    async def __aenter__(self) -> Self:
        await self._until(lambda: self._session.established)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            async with self._reading:
                if not ready():
                    await self._read()

    async def _read(self) -> None:
        """Read one event, or connect (again)."""
        if self._closed:
            raise Unreachable("the session is closed")
        if self._session.broken is not None:
            raise self._session.broken
        try:
            if self._socket is None:
                await self._connect()
                return
            frame = await self._next()
        except (OSError, WebSocketException) as error:
            await self._disconnect()
            code = error.rcvd.code if isinstance(error, ConnectionClosed) and error.rcvd else None
            await asyncio.sleep(self._session.lost(code, error))
            return
        if frame is None:
            self._session.repeat()
        else:
            self._session.receive(frame)
        while self._session.outbox:
            await self._send(self._session.outbox.popleft())
        if self._session.behind:
            await self._disconnect()

    async def _next(self) -> str | bytes | None:
        """The next event; None where something is to be sent again first."""
        assert self._socket is not None
        try:
            return await asyncio.wait_for(self._socket.recv(), self._session.patience())
        except TimeoutError:
            return None

    async def _connect(self) -> None:
        address, headers = await self._door.way(self._session)
        self._socket = await connect(address, additional_headers=headers, max_size=None)

    async def _send(self, frame: str) -> None:
        """Send it where there is a connection; what matters is sent again on the next one."""
        try:
            if self._socket is not None:
                await self._socket.send(frame)
        except ConnectionClosed:
            return

    async def _disconnect(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()


class AsyncReplyStream(Progress):
    """The reply to a message: iterate over its tokens, then `reply` is the whole."""

    def __init__(self, session: AsyncChatSession, saying: Saying) -> None:
        super().__init__(saying)
        self._session = session

    async def __aiter__(self) -> AsyncIterator[Token]:
        """Tokens as they come; AgentError at the end where the agent failed."""
        saying = self._saying
        while saying.tokens or not saying.done:
            await self._session._until(lambda: bool(saying.tokens) or saying.done)
            while saying.tokens:
                yield saying.tokens.popleft()
        if saying.error is not None:
            raise saying.error

    async def acknowledged(self) -> str:
        """Wait until the message is stored: its id."""
        saying = self._saying
        await self._session._until(lambda: saying.message_id is not None or saying.done)
        if saying.message_id is None:
            raise saying.error or Unreachable("the message was not stored")
        return saying.message_id

    async def read(self) -> Reply | None:
        """Read to the end: the reply, None where a person answers."""
        async for _ in self:
            pass
        return self.reply

    async def stop(self) -> None:
        """Stop this reply, as soon as it has begun; read on for its end."""
        self._saying.stopping = True
        if self._saying.reply_id is not None:
            await self._session._send(self._saying.stop_frame)
