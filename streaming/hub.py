"""Who in this process wants to know that something in a chat changed?"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chats.following import ChatSnapshot, Position
from chats.models import Message
from core.errors import AUTH_ERROR, ApiError
from streaming.feed import ChatFeed
from streaming.reply_text import ReplyText
from streaming.socket.follower import Follower

if TYPE_CHECKING:
    from streaming.remote_texts import RemoteTexts


class Watch:
    """What one reader of a chat waits with, for more of a text or for a change in the database."""

    def __init__(self) -> None:
        #: Whether the database may say something new.
        self.stale = True
        self._woken = asyncio.Event()
        self._position: Position | None = None
        #: Until when the reader waits, on the event loop's clock; None while it does not. And what looks at the clock,
        #: set anew only when it has: most waiting ends long before its time.
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False

    def wake(self) -> None:
        """More was said."""
        self._woken.set()

    def change(self) -> None:
        """Something was committed."""
        self.stale = True
        self._woken.set()

    def compare(self, position: Position | None) -> None:
        """The chat stands here now."""
        if position != self._position:
            self._position = position
            self.change()

    def clear(self) -> None:
        """The reader looks now: what happened until here wakes it no more."""
        self._woken.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait until something happens; False where nothing did in time."""
        loop = asyncio.get_running_loop()
        self._until, self._is_late = loop.time() + seconds, False
        if self._timer is None or self._timer.when() > self._until:
            self.cancel()
            self._timer = loop.call_at(self._until, self._look_at_clock, loop)
        try:
            await self._woken.wait()
        finally:
            self._until = None
        return not self._is_late

    def cancel(self) -> None:
        """The reader waits no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at_clock(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._until is None or self._woken.is_set():
            return
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._look_at_clock, loop)
        else:
            self._is_late = True
            self._woken.set()


class Hub:
    """The feeds, sockets, live texts and waiting SSE responses of this process. Only the event loop touches it."""

    def __init__(self, process_id: uuid.UUID) -> None:
        self._process_id = process_id
        self._feeds: dict[uuid.UUID, ChatFeed] = {}
        self._watches: dict[uuid.UUID, set[Watch]] = {}
        self._live: dict[uuid.UUID, ReplyText] = {}
        self._followers: dict[uuid.UUID, Follower] = {}
        #: The texts that other processes write; None in one process.
        self._remote_texts: RemoteTexts | None = None
        self._watched_changed: Callable[[], None] = lambda: None
        self._is_draining = False

    def connect(self, remote_texts: RemoteTexts, watched_changed: Callable[[], None]) -> None:
        """From now on there are other processes; they are told when `watched` changes."""
        self._remote_texts = remote_texts
        self._watched_changed = watched_changed

    # --- Live text ---

    def open_live(self, reply_id: uuid.UUID, chat_id: uuid.UUID, epoch: int) -> ReplyText:
        """The text of a try that begins here."""
        live = self._live[reply_id] = ReplyText(reply_id, chat_id, epoch)
        self.said(live)
        return live

    def find_live(
        self, *, chat_id: uuid.UUID, reply_id: uuid.UUID, epoch: int, owner_id: uuid.UUID | None
    ) -> ReplyText | None:
        """The text of that try as its owner writes it, here or elsewhere; None where it can not be heard."""
        live = self._live.get(reply_id)
        if live is not None and live.epoch == epoch:
            return live
        if self._remote_texts is None or owner_id in (None, self._process_id):
            return None
        return self._remote_texts.open(reply_id, chat_id, epoch)

    async def read_to_end(self, live: ReplyText) -> None:
        """Read what is left of a text whose reply has ended."""
        if live.is_remote and self._remote_texts is not None:
            await self._remote_texts.read_to_end(live)

    def said(self, live: ReplyText) -> None:
        """Pieces were added, or none will be: those who follow the chat look."""
        if feed := self._feeds.get(live.chat_id):
            feed.say()
        for watch in self._watches.get(live.chat_id, ()):
            watch.wake()

    def forget_live(self, live: ReplyText) -> None:
        """The try is over; who still reads it holds it."""
        if self._live.get(live.reply_id) is live:
            del self._live[live.reply_id]

    # --- Changes ---

    def notify(self, chat_id: uuid.UUID, snapshot: ChatSnapshot | None = None) -> None:
        """Something in the chat was committed; since then it stands as `snapshot` says, where that is known."""
        if feed := self._feeds.get(chat_id):
            feed.wake(snapshot)
        for watch in self._watches.get(chat_id, ()):
            watch.change()

    @contextmanager
    def watch(self, chat_id: uuid.UUID) -> Iterator[Watch]:
        """What a reader of the chat waits with."""
        watch = Watch()
        self._watches.setdefault(chat_id, set()).add(watch)
        self._watched_changed()
        try:
            yield watch
        finally:
            watch.cancel()
            watches = self._watches[chat_id]
            watches.discard(watch)
            if not watches:
                del self._watches[chat_id]
                self._watched_changed()

    @property
    def watched(self) -> set[uuid.UUID]:
        """The chats that somebody follows here."""
        return self._feeds.keys() | self._watches.keys()

    def compare(self, chat_ids: Collection[uuid.UUID], positions: Mapping[uuid.UUID, Position]) -> None:
        """Wake the followers of a chat that has moved on unheard."""
        for chat_id in chat_ids:
            position = positions.get(chat_id)
            if (feed := self._feeds.get(chat_id)) and feed.position != position:
                feed.wake()
            for watch in self._watches.get(chat_id, ()):
                watch.compare(position)

    # --- Sockets ---

    def register(self, follower: Follower) -> None:
        """A socket is about to be admitted; from now on its row counts as alive."""
        self._followers[follower.connection_id] = follower

    async def join(
        self, chat_id: uuid.UUID, follower: Follower, greeting: list[str], *, status: str, after: int | None = None
    ) -> None:
        """Let an admitted socket follow its chat; it has joined when this returns."""
        await self._feed(chat_id).join(follower, greeting, status=status, after=after)

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
                self._watched_changed()

    @property
    def followed(self) -> list[uuid.UUID]:
        """The chats that have a socket here."""
        return list(self._feeds)

    def drain(self) -> None:
        """The process stops: a socket is closed as soon as it is owed nothing."""
        self._is_draining = True
        for feed in list(self._feeds.values()):
            feed.drain()

    def release(self, chat_id: uuid.UUID) -> None:
        """A socket of the chat is owed nothing more by its own frames: where the process stops it may be closed."""
        if feed := self._feeds.get(chat_id):
            feed.release()

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
            if self._is_draining:
                feed.drain()
            self._watched_changed()
        return feed
