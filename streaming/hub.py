"""Who in this process wants to know that something in a chat changed?"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from chats.models import Message
from lexicon.errors import AUTH_ERROR, ApiError
from streaming.feed import ChatFeed
from streaming.follower import Follower
from streaming.live import LiveText


class Hub:
    """The feeds, sockets, live texts and waiting SSE responses of this process. Only the event loop touches it."""

    def __init__(self) -> None:
        self._feeds: dict[uuid.UUID, ChatFeed] = {}
        self._watchers: dict[uuid.UUID, set[asyncio.Event]] = {}
        self._live: dict[uuid.UUID, LiveText] = {}
        self._followers: dict[uuid.UUID, Follower] = {}

    # --- Live text ---

    def open_live(self, reply_id: uuid.UUID, chat_id: uuid.UUID, epoch: int) -> LiveText:
        """The text of a try that begins here."""
        live = self._live[reply_id] = LiveText(reply_id, chat_id, epoch)
        return live

    def find_live(self, reply_id: uuid.UUID, epoch: int) -> LiveText | None:
        """The text of that try, where it is written here."""
        live = self._live.get(reply_id)
        return live if live is not None and live.epoch == epoch else None

    def said(self, live: LiveText) -> None:
        """A piece was added: those who follow the chat send it."""
        if feed := self._feeds.get(live.chat_id):
            feed.say()

    def forget_live(self, live: LiveText) -> None:
        """The try is over; who still reads it holds it."""
        if self._live.get(live.reply_id) is live:
            del self._live[live.reply_id]

    # --- Changes ---

    def notify(self, chat_id: uuid.UUID) -> None:
        """Something in the chat was committed."""
        if feed := self._feeds.get(chat_id):
            feed.wake()
        for changed in self._watchers.get(chat_id, ()):
            changed.set()

    @contextmanager
    def watch(self, chat_id: uuid.UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever something in the chat was committed."""
        changed = asyncio.Event()
        self._watchers.setdefault(chat_id, set()).add(changed)
        try:
            yield changed
        finally:
            watchers = self._watchers[chat_id]
            watchers.discard(changed)
            if not watchers:
                del self._watchers[chat_id]

    # --- Sockets ---

    def register(self, follower: Follower) -> None:
        """A socket is about to be admitted; from now on its row counts as alive."""
        self._followers[follower.connection_id] = follower

    async def join(
        self, chat_id: uuid.UUID, follower: Follower, greeting: list[str], *, after: int | None = None
    ) -> None:
        """Let an admitted socket follow its chat; it has joined when this returns."""
        await self._feed(chat_id).join(follower, greeting, after=after)

    def acknowledge(self, follower: Follower, message: Message) -> None:
        """Tell a socket once more of a message it sent twice."""
        self._feed(message.chat_id).acknowledge(follower, message)

    def leave(self, chat_id: uuid.UUID | None, follower: Follower) -> None:
        """The socket is gone."""
        self._followers.pop(follower.connection_id, None)
        if chat_id is not None and (feed := self._feeds.get(chat_id)):
            feed.leave(follower)
            if feed.is_idle:
                del self._feeds[chat_id]

    @property
    def connection_ids(self) -> set[uuid.UUID]:
        """The sockets that are alive here."""
        return set(self._followers)

    @property
    def key_ids(self) -> set[uuid.UUID]:
        """The keys that opened them."""
        return {follower.key_id for follower in self._followers.values() if follower.key_id is not None}

    def close_keys(self, key_ids: set[uuid.UUID]) -> None:
        """Close the sockets that such a key opened."""
        for follower in list(self._followers.values()):
            if follower.key_id in key_ids:
                follower.refuse(ApiError(AUTH_ERROR))

    def _feed(self, chat_id: uuid.UUID) -> ChatFeed:
        feed = self._feeds.get(chat_id)
        if feed is None:
            feed = self._feeds[chat_id] = ChatFeed(chat_id, self.find_live)
        return feed
