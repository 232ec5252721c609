"""How do several processes on one database and one Redis behave as one?

What is shared for good is in the database. Redis carries hints: wake-ups, and the text of replies
that are being written. While it is away, and for every wake-up that is lost, each process looks once
a second whether the chats it follows have changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable

from django.conf import settings

from chats.following import read_positions
from core.db.executor import in_thread
from core.errors import ApiError
from core.redis import CALL_SECONDS, new_async_client
from streaming.hints import Hint, HintBus
from streaming.hub import Hub
from streaming.remote_texts import RemoteTexts
from streaming.reply_text import ReplyText
from streaming.supervision import supervise
from streaming.text_publisher import LiveTextPublisher

logger = logging.getLogger(__name__)


class Cluster:
    """This process among the others."""

    def __init__(
        self,
        process_id: uuid.UUID,
        hub: Hub,
        *,
        running: Callable[[], set[uuid.UUID]],
        asked: Callable[[uuid.UUID], None],
        may_speak: Callable[[], bool],
    ) -> None:
        self._hub = hub
        #: The chats whose running reply is written here.
        self._running = running
        #: Told that the owner of a chat's running reply was asked for something.
        self._asked = asked
        self._redis = new_async_client()
        self._hints = HintBus(process_id, wanted=self._wanted, heard=self._heard, joined=self._catch_up)
        self._publisher = LiveTextPublisher(self._redis, process_id, may_speak=may_speak, listens=self._hints.hears)
        self._remote_texts = RemoteTexts(self._redis, said=hub.said)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Take part from now on."""
        self._hub.connect(self._remote_texts, self._hints.review)
        for name, work in {
            "hints_receive": self._hints.listen,
            "hints_subscribe": self._hints.follow,
            "hints_send": self._hints.publish,
            "live_text_write": self._publisher.run,
            "live_text_read": self._remote_texts.run,
            "poll": self._look,
        }.items():
            self._tasks.append(asyncio.create_task(supervise(name, work), name=name))

    async def stop(self) -> None:
        """Take part no more."""
        for task in self._tasks:
            task.cancel()
        # Redis may hang, and then so does who says goodbye to it.
        await asyncio.wait(self._tasks, timeout=CALL_SECONDS)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._hints.close()
                await self._redis.aclose()
        except Exception as exception:
            logger.info("the connections to Redis were not closed in good order: %s", type(exception).__name__)

    def changed(self, chat_id: uuid.UUID, *, owner_asked: bool) -> None:
        """Something in the chat was committed here."""
        self._hints.tell(chat_id, Hint.ASKED if owner_asked else Hint.CHANGED)

    def said(self, live: ReplyText) -> None:
        """A reply that is written here has more pieces, or ended."""
        self._publisher.said(live)

    def review(self) -> None:
        """What runs here changed."""
        self._hints.review()

    def _wanted(self) -> set[uuid.UUID]:
        return self._hub.watched | self._running()

    def _heard(self, chat_id: uuid.UUID, hint: Hint) -> None:
        if hint is Hint.SAID:
            self._remote_texts.heard(chat_id)
            return
        self._hub.notify(chat_id)
        if hint is Hint.ASKED:
            self._asked(chat_id)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(settings.SWEEP_SECONDS)
            try:
                await self._compare(self._hub.watched)
                await self._remote_texts.look()
            except ApiError:
                continue  # The database is away; the heartbeat says so in the log.
            except Exception:
                logger.exception("looking at the chats that are followed failed; it goes on")

    async def _catch_up(self, chat_ids: set[uuid.UUID]) -> None:
        # Without an answer, the next look finds what was missed.
        with contextlib.suppress(ApiError):
            await self._compare(chat_ids)

    async def _compare(self, chat_ids: set[uuid.UUID]) -> None:
        if chat_ids:
            self._hub.compare(chat_ids, await in_thread(read_positions, chat_ids))
