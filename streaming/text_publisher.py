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
from core.redis import AWAY
from streaming.hints import Hint, group, message
from streaming.reply_text import ReplyText

#: How long the copy of a text is kept after its last piece, in milliseconds: while it is written
#: (longer than a model may be silent), and once it has ended.
OPEN_KEPT = 300_000
ENDED_KEPT = 30_000
#: Seconds between two tries while Redis is away.
AGAIN_SECONDS = 0.5

# Of each text: appends what its list does not have yet, so a second call after a lost answer changes nothing; refuses
# (0) where pieces before these are missing, because Redis came back empty. Then it wakes the readers, where anybody but
# the owner listens (a subscription may just be lost: then others hear at their next look). What it is given
# of a text are six values, and the pieces.
_PUSH = """
local answers, at = {}, 1
for number, list in ipairs(KEYS) do
    local index, count, kept = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2]
    local channel, wake, listens = ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5])
    local length, first = redis.call('LLEN', list), at + 6
    at = first + count
    answers[number] = 0
    if length >= index then
        for place = first + length - index, at - 1 do redis.call('RPUSH', list, ARGV[place]) end
        redis.call('PEXPIRE', list, kept)
        if redis.call('PUBSUB', 'NUMSUB', channel)[2] > listens then redis.call('PUBLISH', channel, wake) end
        answers[number] = 1
    end
end
return answers
"""
#: Most texts in one call: Redis does nothing else meanwhile.
MOST_TEXTS = 50


def key(reply_id: uuid.UUID, epoch: int) -> str:
    """Where the pieces of a try are. Each try has its own list: a late push lands where nobody reads."""
    return f"lexicon:live:{reply_id.hex}:{epoch}"


class LiveTextPublisher:
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
        self._behind: dict[uuid.UUID, ReplyText] = {}
        self._more = asyncio.Event()
        self._script = ""

    def said(self, live: ReplyText) -> None:
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
                    lives = list(self._behind.values())
                    for start in range(0, len(lives), MOST_TEXTS):
                        await self._push(lives[start : start + MOST_TEXTS])
                    # What all replies say meanwhile goes together.
                    await asyncio.sleep(PACE)
            except AWAY:
                await asyncio.sleep(AGAIN_SECONDS)
                # Who reads a reply that has ended finds it in the database.
                self._behind = {reply_id: live for reply_id, live in self._behind.items() if not live.closed}
                self._more.set()

    async def _push(self, lives: list[ReplyText]) -> None:
        if not self._script:
            self._script = await self._redis.script_load(_PUSH)
        counts = [len(live.pieces) for live in lives]
        keys = [key(live.reply_id, live.epoch) for live in lives]
        told = [value for live, count in zip(lives, counts, strict=True) for value in self._told(live, count)]
        try:
            answers: list[int] = await self._redis.evalsha(self._script, len(keys), *keys, *told)  # type: ignore[misc]
        except NoScriptError:
            self._script = ""
            return
        for live, count, answer in zip(lives, counts, answers, strict=True):
            live.published = count if answer else 0
            if answer and len(live.pieces) == count and self._behind.get(live.reply_id) is live:
                del self._behind[live.reply_id]

    def _told(self, live: ReplyText, count: int) -> list[Any]:
        """What the script is told of a text, up to its piece number `count`."""
        channel = f"{self._layer.prefix}__group__{group(live.chat_id)}"
        wake = self._layer.serialize(message(self._process_id, live.chat_id, Hint.SAID))
        kept = ENDED_KEPT if live.closed else OPEN_KEPT
        pieces = live.pieces[live.published : count]
        return [live.published, len(pieces), kept, channel, wake, int(self._listens(live.chat_id)), *pieces]
