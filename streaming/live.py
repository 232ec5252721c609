"""What has a running reply said so far, and how is its text cut?

Piece k of a try is the same for every reader, so text is cut once, by its owner. Lists in this
process; the interface is an index into the pieces of one try, so they can live elsewhere.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from chats.ending import Outcome

#: Most bytes of a piece as JSON, so that an SSE event with its frame stays within 4 KiB (CONTRACT).
PIECE_BYTES = 4000
#: Characters that fit whatever they are: JSON writes a control character in six bytes.
_ALWAYS_FIT = PIECE_BYTES // 6


def cut(text: str) -> Iterator[str]:
    """`text` as pieces of at most PIECE_BYTES bytes of JSON each, never inside a character."""
    while len(text) > _ALWAYS_FIT:
        size = min(len(text), PIECE_BYTES)
        while size > _ALWAYS_FIT and len(orjson.dumps(text[:size])) > PIECE_BYTES:
            size = max(_ALWAYS_FIT, size // 2)
        yield text[:size]
        text = text[size:]
    if text:
        yield text


class LiveText:
    """The pieces of one try of one reply, and who waits for more of them."""

    def __init__(self, reply_id: uuid.UUID, chat_id: uuid.UUID, epoch: int) -> None:
        self.reply_id = reply_id
        self.chat_id = chat_id
        self.epoch = epoch
        self.pieces: list[str] = []
        #: Nothing is added any more.
        self.closed = False
        #: What became of the reply, once it is stored; None while it runs, and where this try was lost.
        self.outcome: Outcome | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    def append(self, piece: str) -> None:
        """The owner says one piece more."""
        self.pieces.append(piece)
        self._wake()

    def close(self, outcome: Outcome | None) -> None:
        """The owner says nothing more."""
        self.closed = True
        self.outcome = outcome
        self._wake()

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self.pieces)

    async def wait(self, index: int, seconds: float) -> bool:
        """Wait until there is a piece `index` or the text is closed; False where nothing came in time."""
        if len(self.pieces) > index or self.closed:
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiter)
        return True

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()
