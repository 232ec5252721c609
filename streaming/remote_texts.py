"""How does this process hear the replies that others write?

A remote text is one whose pieces are read from the copy its owner keeps in Redis (streaming/text_publisher.py):
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
from core.db.executor import in_thread
from core.redis import AWAY
from streaming.reply_text import ReplyText
from streaming.text_publisher import key


class RemoteTexts:
    """The texts that are read here and written elsewhere. Who reads one holds it; it goes with its last reader."""

    def __init__(self, redis: Redis, *, said: Callable[[ReplyText], None]) -> None:
        self._redis = redis
        #: Told when a text has more pieces.
        self._said = said
        self._remote_texts: WeakValueDictionary[uuid.UUID, ReplyText] = WeakValueDictionary()
        self._behind: WeakSet[ReplyText] = WeakSet()
        #: Those of which Redis knew less than was heard before, or nothing.
        self._doubtful: WeakSet[ReplyText] = WeakSet()
        self._more = asyncio.Event()

    def open(self, reply_id: uuid.UUID, chat_id: uuid.UUID, epoch: int) -> ReplyText:
        """The text of a try that runs elsewhere. A chat has one running reply, so one remote text."""
        text = self._remote_texts.get(chat_id)
        if text is None or (text.reply_id, text.epoch) != (reply_id, epoch):
            text = self._remote_texts[chat_id] = ReplyText(reply_id, chat_id, epoch, is_remote=True)
            self._behind.add(text)
            self._more.set()
        return text

    def heard(self, chat_id: uuid.UUID) -> None:
        """More was said in the chat."""
        if text := self._remote_texts.get(chat_id):
            self._behind.add(text)
            self._more.set()

    async def run(self) -> None:
        """Read what was said, until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            texts = list(self._behind)
            self._behind.clear()
            await self._read(texts)

    async def look(self) -> None:
        """Read all remote texts, woken or not: from Redis or, of what it does not have, from the database.

        Raises ApiError SERVICE_UNAVAILABLE where that does not answer either.
        """
        await self._read(list(self._remote_texts.values()))
        doubtful = list(self._doubtful)
        if doubtful:
            wanted = {(text.reply_id, text.epoch): len(text.pieces) for text in doubtful}
            kept = await in_thread(read_checkpoints, wanted)
            for text in doubtful:
                for first, pieces in kept.get((text.reply_id, text.epoch), ()):
                    self._extend(text, first, pieces)

    async def read_to_end(self, text: ReplyText) -> None:
        """Read what is left of a text whose reply has ended."""
        await self._read([text])

    async def _read(self, texts: list[ReplyText]) -> None:
        if not texts:
            return
        # The last piece that is known is read again: where it is missing, Redis does not have the text.
        starts = [max(0, len(text.pieces) - 1) for text in texts]
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for text, start in zip(texts, starts, strict=True):
                    pipeline.lrange(key(text.reply_id, text.epoch), start, -1)
                answers: list[list[bytes]] = await pipeline.execute()
        except AWAY:
            self._doubtful.update(texts)
            return
        for text, start, pieces in zip(texts, starts, answers, strict=True):
            if pieces:
                self._doubtful.discard(text)
                self._extend(text, start, [piece.decode() for piece in pieces])
            else:
                self._doubtful.add(text)

    def _extend(self, text: ReplyText, first: int, pieces: Sequence[str]) -> None:
        if text.extend(first, pieces):
            self._said(text)
