"""What do the sockets of one chat see, and in what order?

One feed for each chat that has a socket in this process. It reads the database when it is woken,
never when it is idle, and the live text of the reply that runs; each event is encoded once and put
to every follower. What a follower is sent depends on nothing but these two, so a lost or repeated
wake-up changes no event, only its moment. A commit of this process may bring what a reading would find.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from websockets.frames import CloseCode

from chats.following import ChatSnapshot, Position, Running, read_snapshot
from chats.models import Message
from core.db.executor import in_thread_until_answered
from core.errors import CHAT_DELETED, INTERNAL_ERROR, ApiError
from core.observability import logs
from streaming import wire
from streaming.reply_text import ReplyText
from streaming.socket.follower import Follower, Token
from streaming.socket.replay import replay

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Stream:
    """The reply the followers see being written."""

    running: Running
    live: ReplyText | None = None
    #: The pieces that were sent, and how many characters they have.
    sent: list[str] = field(default_factory=list)
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Joining:
    """A socket that is about to follow."""

    follower: Follower
    greeting: list[str]
    #: The chat's status as the greeting tells it.
    status: str
    after: int | None
    joined: asyncio.Future[None]


class ChatFeed:
    """The events of one chat, for the sockets this process holds on it."""

    def __init__(self, chat_id: uuid.UUID, find_live: Callable[..., ReplyText | None]) -> None:
        self.chat_id = chat_id
        self._find_live = find_live
        self._followers: set[Follower] = set()
        self._joining: list[Joining] = []
        #: Those of them that join at the reading that is under way.
        self._admitting: list[Joining] = []
        self._acknowledgements: list[tuple[Follower, Message]] = []
        #: The last sequence that was sent; None before the first reading.
        self._cursor: int | None = None
        #: How many changes of the chat's status were sent.
        self._status_count = 0
        self._stream: Stream | None = None
        self._stale = False
        self._is_draining = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nobody follows, so that the feed can be forgotten."""
        return not (self._followers or self._joining or self._admitting)

    @property
    def position(self) -> Position | None:
        """What the followers know of; None before the first reading."""
        if self._cursor is None:
            return None
        running = self._stream.running if self._stream else None
        return Position(
            self._cursor, self._status_count, running.reply_id if running else None, running.epoch if running else None
        )

    async def join(self, follower: Follower, greeting: list[str], *, status: str, after: int | None = None) -> None:
        """Let a socket follow: it gets its greeting, what was said so far of the running reply, then all that comes.

        It joins at a reading made from now on, so nothing is sent to it that was in the history before,
        unless it asks for what came `after` a sequence.
        """
        joining = Joining(follower, greeting, status, after, asyncio.get_running_loop().create_future())
        self._joining.append(joining)
        self.wake()
        await joining.joined

    def leave(self, follower: Follower) -> None:
        """The socket is gone."""
        self._followers.discard(follower)
        for joining in (self._joining, self._admitting):
            joining[:] = [newcomer for newcomer in joining if newcomer.follower is not follower]

    def acknowledge(self, follower: Follower, message: Message) -> None:
        """Tell one socket once more of a message it sent twice, not before all that precedes it was sent."""
        self._acknowledgements.append((follower, message))
        self.wake()

    def wake(self, snapshot: ChatSnapshot | None = None) -> None:
        """Something changed in the database; `snapshot` is what was committed, where that is known."""
        if snapshot is not None and self._task is None and self._cursor is not None:
            if snapshot.follows(self._cursor):
                self._take(snapshot)
                return
            if snapshot.last_sequence <= self._cursor:
                return  # A reading, or what was committed later, told of it.
        self._stale = True
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name=f"feed {self.chat_id}")

    def drain(self) -> None:
        """The process stops: from now on a socket is closed as soon as it is owed nothing.

        It is owed the end of the reply that it sees being written, here or elsewhere, and an answer to each frame.
        """
        self._is_draining = True
        self.release()

    def release(self) -> None:
        """Close the sockets that are owed nothing more, where the process stops."""
        if not self._is_draining or self._stream is not None or self._task is not None:
            return
        for follower in self._followers:
            if not follower.is_busy:
                follower.close(CloseCode.SERVICE_RESTART, "")

    def say(self) -> None:
        """Something was said live."""
        if self._task is None:
            self._send_pieces()

    async def _work(self) -> None:
        logs.begin(chat_id=self.chat_id)
        try:
            while self._stale:
                self._stale = False
                self._admitting, self._joining = self._joining, []
                snapshot = await in_thread_until_answered(read_snapshot, chat_id=self.chat_id, after=self._cursor)
                self._apply(snapshot)
        except Exception:
            self._fail()
        finally:
            self._task = None
        self.release()

    def _take(self, snapshot: ChatSnapshot) -> None:
        try:
            self._apply(snapshot)
        except Exception:
            self._fail()
        self.release()

    def _fail(self) -> None:
        logger.exception("the feed of chat %s failed; its sockets are closed", self.chat_id)
        self._close_all(ApiError(INTERNAL_ERROR))

    def _apply(self, snapshot: ChatSnapshot | None) -> None:
        if snapshot is None:
            self._close_all(ApiError(CHAT_DELETED))
            return
        if self._cursor is None:
            self._cursor, self._status_count = snapshot.last_sequence, snapshot.status_count
        for message in snapshot.messages:
            self._send_changes(snapshot, before=message.sequence)
            self._send_message(message)
            self._cursor = message.sequence
        if snapshot.is_behind:
            self._stale = True
            self._joining = self._admitting + self._joining
            self._admitting = []
            return
        self._send_changes(snapshot, before=snapshot.last_sequence + 1)
        # Some may have been forgotten before this reading.
        self._status_count = snapshot.status_count
        if snapshot.running is not None:
            self._follow(snapshot.running)
        self._send_pieces()
        for newcomer in self._admitting:
            self._admit(newcomer, snapshot)
        self._admitting = []
        self._answer_repeats()

    def _send(self, item: str | Token) -> None:
        for follower in self._followers:
            follower.put(item)

    def _send_changes(self, snapshot: ChatSnapshot, *, before: int) -> None:
        """Tell the changes of status that came before the message of that sequence, and were not told."""
        unheard = snapshot.status_count - self._status_count
        # What a later version may say more of a change is not for this one.
        for after, status, *_ in snapshot.recent_statuses[-unheard:] if unheard else ():
            if after < before:
                self._send(wire.chat_status_changed(chat_id=self.chat_id, status=status))
                self._status_count += 1

    def _send_message(self, message: Message) -> None:
        stream = self._stream
        if stream is None or stream.running.reply_id != message.id:
            frames = wire.told(message)
        elif not message.content.startswith("".join(stream.sent)):
            # Another try than the one that was sent has ended.
            frames = wire.told(message, resumed=True)
        else:
            frames = [wire.stream_ended(message)]
            if rest := message.content[stream.offset :]:
                token = wire.stream_token(chat_id=self.chat_id, message_id=message.id, token=rest, offset=stream.offset)
                frames.insert(0, token)
        if message.metadata.get("failed"):
            frames.insert(-1, wire.agent_error())
        for frame in frames:
            self._send(frame)
        if message.role == Message.Role.ASSISTANT:
            self._stream = None

    def _follow(self, running: Running) -> None:
        stream = self._stream
        if stream is not None and (stream.running.reply_id, stream.running.epoch) == (running.reply_id, running.epoch):
            return
        self._stream = Stream(running)
        self._send(self._started(running, resumed=stream is not None))

    def _started(self, running: Running, *, resumed: bool) -> str:
        return wire.stream_started(
            chat_id=self.chat_id,
            user_id=running.user_id,
            message_id=running.reply_id,
            reply_to=running.question_id,
            resumed=resumed,
        )

    def _send_pieces(self) -> None:
        stream = self._stream
        if stream is None:
            return
        reply_id = stream.running.reply_id
        if stream.live is None:
            running = stream.running
            stream.live = self._find_live(
                chat_id=self.chat_id, reply_id=reply_id, epoch=running.epoch, owner_id=running.owner_id
            )
            if stream.live is None:
                return
        for piece in stream.live.pieces[len(stream.sent) :]:
            frame = wire.stream_token(chat_id=self.chat_id, message_id=reply_id, token=piece, offset=stream.offset)
            self._send(Token(frame, piece, stream.offset, self.chat_id, reply_id))
            stream.sent.append(piece)
            stream.offset += len(piece)

    def _admit(self, newcomer: Joining, snapshot: ChatSnapshot) -> None:
        if newcomer.joined.done():
            return  # It left while the database was read.
        follower = newcomer.follower
        for frame in newcomer.greeting:
            follower.put(frame)
        if newcomer.status != snapshot.status:
            follower.put(wire.chat_status_changed(chat_id=self.chat_id, status=snapshot.status))
        if newcomer.after is not None:
            upto = snapshot.last_sequence
            follower.put(replay(tenant_id=snapshot.tenant_id, chat_id=self.chat_id, after=newcomer.after, upto=upto))
        if (stream := self._stream) is not None:
            follower.put(self._started(stream.running, resumed=True))
            if stream.sent:
                said = "".join(stream.sent)
                reply_id = stream.running.reply_id
                follower.put(wire.stream_token(chat_id=self.chat_id, message_id=reply_id, token=said, offset=0))
        self._followers.add(follower)
        newcomer.joined.set_result(None)

    def _answer_repeats(self) -> None:
        cursor = self._cursor or 0
        ready = [item for item in self._acknowledgements if item[1].sequence <= cursor]
        self._acknowledgements = [item for item in self._acknowledgements if item[1].sequence > cursor]
        for follower, message in ready:
            follower.put(wire.message_received(message))

    def _close_all(self, problem: ApiError) -> None:
        for newcomer in self._admitting + self._joining:
            newcomer.follower.refuse(problem)
            if not newcomer.joined.done():
                newcomer.joined.set_result(None)
        for follower in self._followers:
            follower.refuse(problem)
        self._joining, self._admitting, self._followers, self._acknowledgements = [], [], set(), []
        self._stream = None
