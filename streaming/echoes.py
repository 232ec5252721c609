"""How does this process hear the replies that others write?

An echo is a text whose pieces are read from the copy its owner keeps in Redis (streaming/mirror.py):
once for each process, however many sockets and responses follow. While Redis is away, or came back
without it, the checkpoints in the database have the pieces, a second later.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from weakref import WeakSet, WeakValueDictionary

from redis.asyncio import Redis

from chats.following import read_checkpoints
from lexicon.database import in_thread
from lexicon.redis import AWAY
from streaming.live import LiveText
from streaming.mirror import key


class Echoes:
    """The texts that are read here and written elsewhere. Who reads one holds it; it goes with its last reader."""

    def __init__(self, redis: Redis, *, said: Callable[[LiveText], None]) -> None:
        self._redis = redis
        #: Told when a text has more pieces.
        self._said = said
        self._echoes: WeakValueDictionary[uuid.UUID, LiveText] = WeakValueDictionary()
        self._behind: WeakSet[LiveText] = WeakSet()
        #: Those of which Redis knew less than was heard before, or nothing.
        self._doubtful: WeakSet[LiveText] = WeakSet()
        self._more = asyncio.Event()

    def open(self, reply_id: uuid.UUID, chat_id: uuid.UUID, epoch: int) -> LiveText:
        """The text of a try that runs elsewhere. A chat has one running reply, so one echo."""
        echo = self._echoes.get(chat_id)
        if echo is None or (echo.reply_id, echo.epoch) != (reply_id, epoch):
            echo = self._echoes[chat_id] = LiveText(reply_id, chat_id, epoch, is_echo=True)
            self._behind.add(echo)
            self._more.set()
        return echo

    def heard(self, chat_id: uuid.UUID) -> None:
        """More was said in the chat."""
        if echo := self._echoes.get(chat_id):
            self._behind.add(echo)
            self._more.set()

    async def run(self) -> None:
        """Read what was said, until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            echoes = list(self._behind)
            self._behind.clear()
            await self._read(echoes)

    async def look(self) -> None:
        """Read all echoes, woken or not: from Redis or, of what it does not have, from the database.

        Raises ApiError SERVICE_UNAVAILABLE where that does not answer either.
        """
        await self._read(list(self._echoes.values()))
        doubtful = list(self._doubtful)
        if doubtful:
            wanted = {(echo.reply_id, echo.epoch): len(echo.pieces) for echo in doubtful}
            kept = await in_thread(read_checkpoints, wanted)
            for echo in doubtful:
                for first, pieces in kept.get((echo.reply_id, echo.epoch), ()):
                    self._extend(echo, first, pieces)

    async def hear_out(self, echo: LiveText) -> None:
        """Read what is left of a text whose reply has ended."""
        await self._read([echo])

    async def _read(self, echoes: list[LiveText]) -> None:
        if not echoes:
            return
        # The last piece that is known is read again: where it is missing, Redis does not have the text.
        starts = [max(0, len(echo.pieces) - 1) for echo in echoes]
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for echo, start in zip(echoes, starts, strict=True):
                    pipeline.lrange(key(echo.reply_id, echo.epoch), start, -1)
                answers: list[list[bytes]] = await pipeline.execute()
        except AWAY:
            self._doubtful.update(echoes)
            return
        for echo, start, pieces in zip(echoes, starts, answers, strict=True):
            if pieces:
                self._doubtful.discard(echo)
                self._extend(echo, start, [piece.decode() for piece in pieces])
            else:
                self._doubtful.add(echo)

    def _extend(self, echo: LiveText, first: int, pieces: Sequence[str]) -> None:
        if echo.extend(first, pieces):
            self._said(echo)
