"""Who in other processes hears that something in a chat changed, or that more was said?

A wake-up names the chat, never what changed: a process that hears it reads. It goes over channels-redis'
pub/sub layer, which may lose any of them and fails while Redis is away; so nothing here raises, no
socket depends on it, and each process looks for itself once a second (streaming/cluster.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

from channels.layers import get_channel_layer

from core.redis import AWAY, CALL_SECONDS, loop_was_late

logger = logging.getLogger(__name__)

#: Seconds between two tries while Redis is away.
AGAIN_SECONDS = 1.0
#: Most chats whose wake-ups wait for a Redis that is away.
MOST_WAITING = 10_000


class Hint(StrEnum):
    """Why a chat's followers are woken."""

    #: Its running reply has more pieces.
    SAID = "said"
    #: Something in it was committed.
    CHANGED = "changed"
    #: Besides, its running reply's owner was asked for something.
    ASKED = "asked"


def group(chat_id: uuid.UUID) -> str:
    """The layer's group of those who follow the chat."""
    return f"chat.{chat_id.hex}"


def message(process_id: uuid.UUID, chat_id: uuid.UUID, hint: Hint) -> dict[str, str]:
    """What a wake-up says."""
    return {"type": "wake", "chat": chat_id.hex, "news": hint, "from": process_id.hex}


def read_message(told: object) -> tuple[uuid.UUID, uuid.UUID, Hint] | None:
    """Of which process a wake-up is, of which chat, and why; None where this version does not know what it says.

    A later version may stand beside this one in an upgrade. A process that needed to hear of it looks once a second.
    """
    try:
        return uuid.UUID(told["from"]), uuid.UUID(told["chat"]), Hint(told["news"])  # type: ignore[index]
    except (TypeError, LookupError, ValueError, AttributeError):
        logger.debug("a wake-up is ignored that this version does not know")
        return None


class HintBus:
    """The wake-ups this process sends, and those it hears of the chats that it wants to hear of."""

    def __init__(
        self,
        process_id: uuid.UUID,
        *,
        wanted: Callable[[], set[uuid.UUID]],
        heard: Callable[[uuid.UUID, Hint], None],
        joined: Callable[[set[uuid.UUID]], Awaitable[None]],
    ) -> None:
        self._process_id = process_id
        self._channel = f"wakes.{process_id.hex}"
        self._wanted = wanted
        self._heard = heard
        #: Told which chats it hears of from now on: what came before that was missed.
        self._joined = joined
        self._groups: set[uuid.UUID] = set()
        self._review = asyncio.Event()
        self._hints: dict[uuid.UUID, Hint] = {}
        self._more = asyncio.Event()
        self._away = False
        layer = get_channel_layer("wakes")
        assert layer is not None
        self._layer: Any = layer

    def review(self) -> None:
        """What is wanted may have changed."""
        self._review.set()

    def hears(self, chat_id: uuid.UUID) -> bool:
        """Whether it hears of this chat."""
        return chat_id in self._groups

    def tell(self, chat_id: uuid.UUID, hint: Hint) -> None:
        """Wake those who follow the chat in other processes; until it is sent, several are one."""
        if self._hints.get(chat_id) is not Hint.ASKED:
            self._hints[chat_id] = hint
        self._more.set()

    async def listen(self) -> None:
        """Hear wake-ups, until cancelled."""
        while True:
            try:
                told = await self._layer.receive(self._channel)
            except AWAY:
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            heard = read_message(told)
            if heard is not None and heard[0] != self._process_id:
                self._heard(*heard[1:])

    async def follow(self) -> None:
        """Join and leave groups as what is wanted changes, until cancelled."""
        while True:
            await self._review.wait()
            self._review.clear()
            try:
                await self._follow_wanted()
            except AWAY:
                await asyncio.sleep(AGAIN_SECONDS)
                self._review.set()

    async def _follow_wanted(self) -> None:
        wanted = self._wanted()
        for chat_id in self._groups - wanted:
            # From here on nobody counts on it; where it fails, it is left once more.
            self._groups.discard(chat_id)
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await self._layer.group_discard(group(chat_id), self._channel)
            except AWAY:
                self._groups.add(chat_id)
                raise
        new = wanted - self._groups
        for chat_id in new:
            async with asyncio.timeout(CALL_SECONDS):
                await self._layer.group_add(group(chat_id), self._channel)
            self._groups.add(chat_id)
        if new:
            await self._joined(new)

    async def publish(self) -> None:
        """Send what is to be told, until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._hints:
                chat_id, hint = self._hints.popitem()
                asked = time.monotonic()
                try:
                    async with asyncio.timeout(CALL_SECONDS):
                        await self._layer.group_send(group(chat_id), message(self._process_id, chat_id, hint))
                except AWAY:
                    if hint is Hint.ASKED or chat_id not in self._hints:
                        self._hints[chat_id] = hint
                    if loop_was_late(asked):
                        continue
                    self._say(away=True)
                    if len(self._hints) > MOST_WAITING:
                        # Those who wait look for themselves within a second.
                        self._hints.clear()
                    await asyncio.sleep(AGAIN_SECONDS)
                else:
                    self._say(away=False)

    def _say(self, *, away: bool) -> None:
        if away and not self._away:
            logger.warning("Redis does not answer; until it does, other processes hear of changes a second later")
        elif self._away and not away:
            logger.info("Redis answers again")
        self._away = away

    async def close(self) -> None:
        """Give the layer's connections back."""
        await self._layer.flush()
