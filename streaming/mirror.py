"""How do other processes read what a reply of this one has said so far?

The pieces of a try are copied to a Redis list of its own, in the order they were cut; piece k is the
same wherever it is read. The copy lags, may be lost and is written again whole: nothing that is
right depends on it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from channels.layers import get_channel_layer
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from agents.contract import PACE
from lexicon.redis import AWAY
from streaming.live import LiveText
from streaming.wakes import News, group, message

#: How long the copy of a text is kept after its last piece, in milliseconds: while it is written
#: (longer than a model may be silent), and once it has ended.
OPEN_KEPT = 300_000
ENDED_KEPT = 30_000
#: Seconds between two tries while Redis is away.
AGAIN_SECONDS = 0.5

# Appends what the list does not have yet, so a second call after a lost answer changes nothing; refuses
# (0) where pieces before these are missing, because Redis came back empty. Then it wakes the readers, where anybody
# but the owner listens.
_PUSH = """
local length, index = redis.call('LLEN', KEYS[1]), tonumber(ARGV[1])
if length < index then return 0 end
for place = 6 + length - index, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[place]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if redis.call('PUBSUB', 'NUMSUB', ARGV[3])[2] > tonumber(ARGV[5]) then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1
"""


def key(reply_id: uuid.UUID, epoch: int) -> str:
    """Where the pieces of a try are. Each try has its own list: a late push lands where nobody reads."""
    return f"lexicon:live:{reply_id.hex}:{epoch}"


class Mirror:
    """The copies of the texts this process writes."""

    def __init__(
        self,
        redis: Redis,
        process_id: uuid.UUID,
        *,
        may_speak: Callable[[], bool],
        listens: Callable[[uuid.UUID], bool],
    ) -> None:
        self._redis = redis
        self._process_id = process_id
        #: Whether this process still owns what it writes.
        self._may_speak = may_speak
        #: Whether this process itself listens to what is said in a chat.
        self._listens = listens
        self._layer: Any = get_channel_layer("wakes")
        self._behind: dict[uuid.UUID, LiveText] = {}
        self._more = asyncio.Event()
        self._script = ""

    def said(self, live: LiveText) -> None:
        """The text has more pieces, or ended."""
        self._behind[live.reply_id] = live
        self._more.set()

    async def run(self) -> None:
        """Copy what is said, until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            try:
                while self._behind and self._may_speak():
                    await self._push(list(self._behind.values()))
                    # What all replies say meanwhile goes together.
                    await asyncio.sleep(PACE)
            except AWAY:
                await asyncio.sleep(AGAIN_SECONDS)
                # Who reads a reply that has ended finds it in the database.
                self._behind = {reply_id: live for reply_id, live in self._behind.items() if not live.closed}
                self._more.set()

    async def _push(self, lives: list[LiveText]) -> None:
        if not self._script:
            self._script = await self._redis.script_load(_PUSH)
        counts = [len(live.pieces) for live in lives]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for live in lives:
                pipeline.evalsha(self._script, 1, key(live.reply_id, live.epoch), *self._arguments(live))
            answers = await pipeline.execute(raise_on_error=False)
        for live, count, answer in zip(lives, counts, answers, strict=True):
            if isinstance(answer, NoScriptError):
                self._script = ""
            elif isinstance(answer, Exception):
                raise answer
            elif answer == 0:
                live.mirrored = 0
            else:
                live.mirrored = count
                if len(live.pieces) == count and self._behind.get(live.reply_id) is live:
                    del self._behind[live.reply_id]

    def _arguments(self, live: LiveText) -> list[Any]:
        channel = f"{self._layer.prefix}__group__{group(live.chat_id)}"
        wake = self._layer.serialize(message(self._process_id, live.chat_id, News.SAID))
        kept = ENDED_KEPT if live.closed else OPEN_KEPT
        return [live.mirrored, kept, channel, wake, int(self._listens(live.chat_id)), *live.pieces[live.mirrored :]]
