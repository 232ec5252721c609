"""How a reply's text flows inside the process: cut by its owner, gathered, waited for, written to one socket."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from agents.contract import PACE
from chats.following import ChatSnapshot, Position
from chats.models import Message
from core.errors import CHAT_DELETED, ApiError
from streaming.coalescer import Coalescer
from streaming.feed import ChatFeed
from streaming.hub import Hub
from streaming.reply_text import PIECE_BYTES, ReplyText, split_pieces
from streaming.socket.follower import MOST_FRAMES, MOST_WAITING, Follower, Token
from tenants.models import EndUser

SOON = 15.0

# --- Pieces ---

#: One byte, two, three and four as UTF-8; a letter of two code points; what JSON writes in two and in six bytes.
ALPHABETS = ("abc ", "aüß", "漢字かな", "🙂🙃", "e\u0301n\u0303", '"\\\n', "\x00\x01\x1f", 'a"\x01ü漢🙂\u2028')


def test_pieces_are_small_enough_whole_characters_and_together_the_text() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        alphabet = rng.choice(ALPHABETS)
        text = "".join(rng.choices(alphabet, k=rng.choice((0, 1, 665, 666, 667, 1999, 4000, rng.randrange(20_000)))))
        pieces = list(split_pieces(text))
        assert "".join(pieces) == text
        assert all(pieces)
        assert max([len(orjson.dumps(piece)) for piece in pieces], default=0) <= PIECE_BYTES


def test_a_short_text_is_one_piece_and_no_text_is_none() -> None:
    assert list(split_pieces("hello")) == ["hello"]
    assert list(split_pieces("")) == []


# --- Live text ---


@pytest.fixture
def live() -> ReplyText:
    return ReplyText(uuid.uuid4(), uuid.uuid4(), 1)


def test_an_echo_takes_pieces_in_order_and_each_once(live: ReplyText) -> None:
    assert live.extend(0, ["a", "b"])
    assert not live.extend(0, ["a", "b"])
    assert not live.extend(3, ["d"])
    assert live.extend(1, ["b", "c"])
    assert live.text == "abc"


async def test_a_reader_is_woken_by_more_of_the_text_and_not_told_of_a_change(live: ReplyText) -> None:
    hub = Hub(uuid.uuid4())
    with hub.watch(live.chat_id) as watch:
        watch.stale = False
        reader = asyncio.create_task(watch.wait(SOON))
        hub.said(live)
        assert await reader
        assert not watch.stale


async def test_a_reader_is_told_of_a_change(live: ReplyText) -> None:
    hub = Hub(uuid.uuid4())
    with hub.watch(live.chat_id) as watch:
        watch.stale = False
        hub.notify(live.chat_id)
        assert await watch.wait(SOON)
        assert watch.stale


async def test_what_happened_before_a_reader_looked_wakes_it_no_more(live: ReplyText) -> None:
    hub = Hub(uuid.uuid4())
    with hub.watch(live.chat_id) as watch:
        hub.notify(live.chat_id)
        watch.clear()
        assert not await watch.wait(0)


def test_a_chat_that_nobody_reads_is_not_watched(live: ReplyText) -> None:
    hub = Hub(uuid.uuid4())
    with hub.watch(live.chat_id):
        assert hub.watched == {live.chat_id}
    assert hub.watched == set()


def test_a_reader_is_told_only_of_positions_it_does_not_know(live: ReplyText) -> None:
    hub = Hub(uuid.uuid4())
    with hub.watch(live.chat_id) as watch:
        for position in (Position(1, "active", None, None), Position(2, "active", None, None)):
            watch.stale = False
            hub.compare({live.chat_id}, {live.chat_id: position})
            assert watch.stale
            watch.stale = False
            hub.compare({live.chat_id}, {live.chat_id: position})
            assert not watch.stale


# --- The coalescer ---


class Pushed:
    """Remembers pieces, and lets a test wait for them."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.more = asyncio.Event()

    def __call__(self, piece: str) -> None:
        self.pieces.append(piece)
        self.more.set()


async def finish(coalescing: asyncio.Task[None]) -> None:
    async with asyncio.timeout(SOON):
        await coalescing


async def test_the_first_words_go_at_once_and_the_next_go_together() -> None:
    pushed = Pushed()
    coalescer = Coalescer(pushed)
    coalescing = asyncio.create_task(coalescer.run())
    coalescer.add("first")
    async with asyncio.timeout(SOON):
        await pushed.more.wait()
    assert pushed.pieces == ["first"]
    for word in (" and", " then", " more"):
        coalescer.add(word)
    coalescer.complete()
    await finish(coalescing)
    assert pushed.pieces == ["first", " and then more"]


async def test_a_long_delta_is_cut() -> None:
    pushed = Pushed()
    coalescer = Coalescer(pushed)
    text = "漢" * 5000
    coalescer.add(text)
    coalescer.complete()
    await finish(asyncio.create_task(coalescer.run()))
    assert len(pushed.pieces) > 3
    assert "".join(pushed.pieces) == text


async def test_what_may_not_be_pushed_is_kept_until_it_may() -> None:
    pushed, asked, may = Pushed(), asyncio.Event(), asyncio.Event()

    async def regain() -> None:
        asked.set()
        await may.wait()

    coalescer = Coalescer(pushed, may_push=may.is_set, regain=regain)
    coalescing = asyncio.create_task(coalescer.run())
    coalescer.add("a")
    async with asyncio.timeout(SOON):
        await asked.wait()
    coalescer.add("b")
    coalescer.complete()
    assert pushed.pieces == []
    may.set()
    await finish(coalescing)
    assert pushed.pieces == ["ab"]


async def test_what_can_not_be_regained_is_never_pushed() -> None:
    async def regain() -> None:
        raise LookupError

    pushed = Pushed()
    coalescer = Coalescer(pushed, may_push=lambda: False, regain=regain)
    coalescer.add("a")
    with pytest.raises(LookupError):
        await coalescer.run()
    assert pushed.pieces == []


async def test_a_text_that_is_complete_waits_for_nothing_where_nothing_is_left() -> None:
    async def regain() -> None:
        raise LookupError

    may = [True]
    pushed = Pushed()
    coalescer = Coalescer(pushed, may_push=lambda: may[0], regain=regain)
    coalescer.add("a")
    may[0] = False
    coalescer.complete()
    await finish(asyncio.create_task(coalescer.run()))
    assert pushed.pieces == ["a"]


async def test_what_can_not_be_pushed_by_the_timer_ends_the_pump_and_all_that_follows() -> None:
    pieces = []

    def push(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 2:
            raise LookupError(piece)

    coalescer = Coalescer(push)
    coalescer.add("a")
    coalescer.add("b")
    with pytest.raises(LookupError):
        async with asyncio.timeout(SOON):
            await coalescer.run()
    coalescer.add("c")
    coalescer.complete()
    assert pieces == ["a", "b"]


async def test_a_pump_that_is_cancelled_pushes_no_more() -> None:
    pushed = Pushed()
    coalescer = Coalescer(pushed)
    coalescing = asyncio.create_task(coalescer.run())
    coalescer.add("a")
    coalescer.add("b")
    await asyncio.sleep(0)
    coalescing.cancel()
    await asyncio.wait([coalescing])
    # Twice as long as what waits would have waited.
    await asyncio.sleep(2 * PACE)
    assert pushed.pieces == ["a"]


async def test_what_waits_is_pushed_although_nothing_follows() -> None:
    pushed = Pushed()
    coalescer = Coalescer(pushed)
    coalescer.add("first")
    pushed.more.clear()
    coalescer.add(" second")
    async with asyncio.timeout(SOON):
        await pushed.more.wait()
    assert pushed.pieces == ["first", " second"]


async def test_a_reply_that_says_nothing_pushes_nothing() -> None:
    pushed = Pushed()
    coalescer = Coalescer(pushed)
    coalescer.complete()
    await finish(asyncio.create_task(coalescer.run()))
    assert pushed.pieces == []


async def test_what_push_raises_ends_the_pump() -> None:
    def push(piece: str) -> None:
        raise LookupError(piece)

    coalescer = Coalescer(push)
    coalescer.add("a")
    with pytest.raises(LookupError):
        await coalescer.run()


# --- One socket ---

CHAT, REPLY, NEXT = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()


def token(text: str, offset: int, reply: uuid.UUID = REPLY) -> Token:
    frame = json.dumps({"event_type": "message_stream_token", "token": text, "offset": offset})
    return Token(frame, text, offset, CHAT, reply)


@asynccontextmanager
async def writing(follower: Follower) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(follower.write())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Wire:
    """The far end of a follower: what was sent to it, while it reads."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.follower = Follower(connection_id=uuid.uuid4(), send=self._send)

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.messages.append(message)

    @property
    def frames(self) -> list[str]:
        return [message["text"] for message in self.messages if message["type"] == "websocket.send"]

    async def written(self) -> None:
        """Write all that waits, and close."""
        self.follower.close(1000, "")
        async with asyncio.timeout(SOON):
            await self.follower.write()

    async def written_tokens(self) -> list[tuple[str, int]]:
        await self.written()
        events = [json.loads(frame) for frame in self.frames]
        return [(event["token"], event["offset"]) for event in events]


async def test_a_socket_that_lags_gets_several_pieces_in_one_frame() -> None:
    wire = Wire()
    for text, offset in (("one", 0), (" two", 3), (" three", 7)):
        wire.follower.put(token(text, offset))
    assert await wire.written_tokens() == [("one two three", 0)]


async def test_a_socket_that_keeps_up_gets_each_piece_as_it_was_encoded() -> None:
    wire = Wire()
    only = token("one", 0)
    wire.follower.put(only)
    await wire.written()
    assert wire.frames == [only.frame]


async def test_pieces_are_not_joined_over_an_event() -> None:
    wire = Wire()
    wire.follower.put(token("one", 0))
    wire.follower.put('{"event_type": "pong"}')
    wire.follower.put(token(" two", 3))
    await wire.written()
    assert [json.loads(frame).get("token") for frame in wire.frames] == ["one", None, " two"]


async def test_pieces_of_two_replies_or_two_tries_are_not_joined() -> None:
    wire = Wire()
    for item in (token("one", 0), token("again", 0), token("other", 5, NEXT)):
        wire.follower.put(item)
    assert await wire.written_tokens() == [("one", 0), ("again", 0), ("other", 5)]


async def test_a_joined_frame_stays_far_below_what_makes_clients_give_up() -> None:
    wire = Wire()
    offset = 0
    for _ in range(100):
        wire.follower.put(token("x" * 4000, offset))
        offset += 4000
    tokens = await wire.written_tokens()
    assert "".join(text for text, _ in tokens) == "x" * 400_000
    assert 1 < len(tokens) < 10
    assert max(len(text) for text, _ in tokens) < 128 * 1024


@pytest.mark.parametrize("kind", ["characters", "frames"])
async def test_a_socket_that_lags_too_far_is_closed_and_gets_nothing_of_what_waited(kind: str) -> None:
    wire = Wire()
    if kind == "frames":
        for _ in range(MOST_FRAMES + 1):
            wire.follower.put("{}")
    else:
        for offset in range(0, MOST_WAITING + 4000, 4000):
            wire.follower.put(token("x" * 4000, offset))
    async with asyncio.timeout(SOON):
        await wire.follower.write()
    assert wire.messages == [{"type": "websocket.close", "code": 1013, "reason": "SLOW_READER"}]


async def test_pieces_do_not_count_as_frames_that_wait() -> None:
    wire = Wire()
    for offset in range(3 * MOST_FRAMES):
        wire.follower.put(token("x", offset))
    assert await wire.written_tokens() == [("x" * 3 * MOST_FRAMES, 0)]


async def test_what_was_written_no_longer_counts() -> None:
    wire = Wire()
    async with writing(wire.follower) as task:
        for _ in range(3 * MOST_FRAMES):
            wire.follower.put("{}")
            await asyncio.sleep(0)
        assert not task.done()
    assert len(wire.frames) == 3 * MOST_FRAMES


async def test_nothing_grows_behind_a_socket_that_stopped_reading() -> None:
    wire = Wire()
    wire.reads.clear()
    async with writing(wire.follower):
        for offset in range(0, 4 * MOST_WAITING, 4000):
            wire.follower.put(token("x" * 4000, offset))
            await asyncio.sleep(0)
        assert not wire.follower._items


async def test_a_refusal_comes_after_all_that_waits_and_closes() -> None:
    wire = Wire()
    wire.follower.put('{"event_type": "pong"}')
    wire.follower.refuse(ApiError(CHAT_DELETED))
    wire.follower.put('{"event_type": "pong"}')
    wire.follower.refuse(ApiError(CHAT_DELETED))
    async with asyncio.timeout(SOON):
        await wire.follower.write()
    assert [json.loads(frame)["event_type"] for frame in wire.frames] == ["pong", "error"]
    assert wire.messages[-1] == {"type": "websocket.close", "code": 4410, "reason": "CHAT_DELETED"}


# --- The feed of a chat ---


async def test_a_feed_that_fails_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr("streaming.feed.read_snapshot", fail)
    wire = Wire()
    feed = ChatFeed(CHAT, lambda **reply: None)
    async with asyncio.timeout(SOON):
        await feed.join(wire.follower, ["greeting"], status="active")
        await wire.follower.write()
    assert [json.loads(frame)["error_code"] for frame in wire.frames] == ["INTERNAL_ERROR"]
    assert wire.messages[-1]["code"] == 4500
    assert feed.is_idle


class Reading:
    """A chat in the database, as far as a feed reads it; it counts how often that is."""

    def __init__(self) -> None:
        self.count = 0
        self.snapshot = snapshot(0)
        #: A reading that has begun goes on once it is set.
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, *, after: int | None, **_: Any) -> ChatSnapshot:
        self.count += 1
        found = self.snapshot
        self.may_end.wait(SOON)
        first = found.last_sequence if after is None else after
        return replace(found, messages=[message(number + 1) for number in range(first, found.last_sequence)])


def message(sequence: int) -> Message:
    user = EndUser(external_id="alice")
    return Message(chat_id=CHAT, role="user", user=user, content=str(sequence), sequence=sequence)


def snapshot(sequence: int) -> ChatSnapshot:
    """Where the chat stands with its message of that sequence, which is new."""
    return ChatSnapshot(uuid.uuid4(), "active", 0, [], sequence, None, [message(sequence)] if sequence else [])


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    reading = Reading()
    monkeypatch.setattr("streaming.feed.read_snapshot", reading)
    return reading


@asynccontextmanager
async def followed(wire: Wire) -> AsyncIterator[ChatFeed]:
    """A feed that the wire's socket follows, before any message."""
    feed = ChatFeed(CHAT, lambda **reply: None)
    async with writing(wire.follower):
        async with asyncio.timeout(SOON):
            await feed.join(wire.follower, [], status="active")
            await idle(feed)
        yield feed


async def idle(feed: ChatFeed) -> None:
    """Wait until it has read."""
    while (task := feed._task) is not None:
        await asyncio.wait([task])


def contents(wire: Wire) -> list[str]:
    return [json.loads(frame)["content"] for frame in wire.frames]


async def sent(wire: Wire, count: int) -> list[str]:
    async with asyncio.timeout(SOON):
        while len(wire.frames) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)
    return contents(wire)


async def test_what_a_commit_brings_is_sent_without_a_reading(reading: Reading) -> None:
    wire = Wire()
    async with followed(wire) as feed:
        before = reading.count
        feed.wake(snapshot(1))
        feed.wake(snapshot(2))
        assert await sent(wire, 2) == ["1", "2"]
        assert reading.count == before


async def test_what_was_sent_before_is_not_sent_again(reading: Reading) -> None:
    wire = Wire()
    async with followed(wire) as feed:
        reading.snapshot = snapshot(2)
        feed.wake()
        await idle(feed)
        before = reading.count
        # Commits are told of in any order.
        feed.wake(snapshot(2))
        feed.wake(snapshot(1))
        feed.wake(snapshot(3))
        assert await sent(wire, 3) == ["1", "2", "3"]
        assert reading.count == before


async def test_where_something_is_missing_before_it_all_is_read(reading: Reading) -> None:
    wire = Wire()
    async with followed(wire) as feed:
        reading.snapshot = snapshot(2)
        feed.wake(snapshot(2))
        assert await sent(wire, 2) == ["1", "2"]


async def test_what_a_commit_brings_during_a_reading_is_read(reading: Reading) -> None:
    wire = Wire()
    async with followed(wire) as feed:
        reading.may_end.clear()
        before = reading.count
        feed.wake()
        async with asyncio.timeout(SOON):
            while reading.count == before:  # noqa: ASYNC110
                await asyncio.sleep(0)
        reading.snapshot = snapshot(1)
        feed.wake(snapshot(1))
        reading.may_end.set()
        assert await sent(wire, 1) == ["1"]
        await idle(feed)
        assert reading.count == before + 2


async def test_a_commit_that_can_not_be_told_closes_its_sockets(reading: Reading) -> None:
    wire = Wire()
    async with followed(wire) as feed:
        feed.wake(replace(snapshot(1), messages=[Message(chat_id=CHAT, role="user", content="?", sequence=1)]))
        async with asyncio.timeout(SOON):
            while not wire.messages or wire.messages[-1]["type"] != "websocket.close":  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert [json.loads(frame)["error_code"] for frame in wire.frames] == ["INTERNAL_ERROR"]
        assert feed.is_idle


async def test_a_socket_that_joins_while_another_leaves_hears_what_comes(reading: Reading) -> None:
    hub = Hub(uuid.uuid4())
    first, second = Wire(), Wire()
    async with writing(first.follower), writing(second.follower), asyncio.timeout(SOON):
        await hub.join(CHAT, first.follower, [], status="active")
        await idle(hub._feed(CHAT))
        reading.may_end.clear()
        before = reading.count
        joining = asyncio.create_task(hub.join(CHAT, second.follower, [], status="active"))
        while reading.count == before:  # noqa: ASYNC110
            await asyncio.sleep(0)
        hub.leave(CHAT, first.follower)
        reading.may_end.set()
        await joining
        reading.snapshot = snapshot(1)
        hub.notify(CHAT)
        assert await sent(second, 1) == ["1"]
    assert not first.frames
