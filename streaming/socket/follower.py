"""How does one socket get its events, however slowly it reads?"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

from core.errors import SERVICE_UNAVAILABLE, ApiError
from streaming import wire

#: Most characters that wait for a socket; one that lags further behind is closed and can resume.
MOST_WAITING = 1024 * 1024
#: So few items may wait however long they are: the last frames of one long reply are no sign of a lag.
_FEW = 4
#: Most frames that wait besides tokens, which are joined; a feed reads 500 messages at a time.
MOST_FRAMES = 2000
#: Most characters of joined tokens in one frame, far below the 1 MiB at which clients give up.
_JOINED = 64 * 1024


class Token(NamedTuple):
    """A piece of a reply: encoded once for all sockets, and what is needed to join it with the next."""

    frame: str
    text: str
    offset: int
    chat_id: uuid.UUID
    message_id: uuid.UUID


#: A frame, a token, or frames that are made only when the socket takes them.
Item = str | Token | AsyncGenerator[str, None]


class Follower:
    """The events that wait for one socket, and the task that writes them."""

    def __init__(self, *, connection_id: uuid.UUID, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.connection_id = connection_id
        #: The key that opened the socket; None until it is admitted.
        self.key_id: uuid.UUID | None = None
        #: Whether frames of its client are being carried out.
        self.is_busy = False
        self._send = send
        self._items: deque[Item] = deque()
        self._frames = 0
        self._waiting = 0
        #: What `write` waits for while nothing else does.
        self._more: asyncio.Future[None] | None = None
        self._close: tuple[int, str] | None = None

    def put(self, item: Item) -> None:
        """Send this after all that waits already; of an iterator, each frame as it is asked for."""
        if self._close is not None:
            return
        self._items.append(item)
        if isinstance(item, Token):
            self._waiting += len(item.text)
        elif isinstance(item, str):
            self._waiting += len(item)
            self._frames += 1
        if (self._waiting > MOST_WAITING and len(self._items) > _FEW) or self._frames > MOST_FRAMES:
            self._items.clear()
            self.close(SERVICE_UNAVAILABLE.close or 1013, "SLOW_READER")
        self._wake()

    def refuse(self, problem: ApiError) -> None:
        """Tell the client why, and close the socket with the code of the error."""
        self.put(wire.error(problem))
        self.close(problem.kind.close or 4500, problem.kind.code)

    def close(self, code: int, reason: str) -> None:
        """Close the socket once all that waits is sent; nothing more is taken."""
        if self._close is None:
            self._close = (code, reason)
            self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def write(self) -> None:
        """Write events as they come, until the socket is closed from this side."""
        loop = asyncio.get_running_loop()
        while True:
            while self._items:
                item = self._items.popleft()
                if isinstance(item, str):
                    self._waiting -= len(item)
                    self._frames -= 1
                    await self._send({"type": "websocket.send", "text": item})
                elif isinstance(item, Token):
                    await self._send({"type": "websocket.send", "text": self._join(item)})
                else:
                    try:
                        async with aclosing(item) as frames:
                            async for frame in frames:
                                await self._send({"type": "websocket.send", "text": frame})
                    except ApiError as problem:
                        self._items.clear()
                        self.refuse(problem)
            if self._close is not None:
                code, reason = self._close
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
                return
            self._more = loop.create_future()
            await self._more

    def _join(self, item: Token) -> str:
        """The frame of this token and of those that wait behind it and go on where it ends."""
        texts = [item.text]
        size = len(item.text)
        while self._items and size < _JOINED:
            other = self._items[0]
            # Offsets tell whether it goes on where this one ends: a new try starts again at 0.
            if not isinstance(other, Token) or (other.message_id, other.offset) != (
                item.message_id,
                item.offset + size,
            ):
                break
            self._items.popleft()
            texts.append(other.text)
            size += len(other.text)
        self._waiting -= size
        if len(texts) == 1:
            return item.frame
        return wire.stream_token(
            chat_id=item.chat_id, message_id=item.message_id, token="".join(texts), offset=item.offset
        )
