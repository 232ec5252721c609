"""Wake-ups and texts on their way through a real Redis, without anybody who looks for himself."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.layers import get_channel_layer

from core.redis import new_async_client
from streaming.hints import Hint, HintBus, group, message
from streaming.remote_texts import RemoteTexts
from streaming.reply_text import ReplyText
from streaming.text_publisher import LiveTextPublisher, key
from tests.cluster.conftest import OwnRedis
from tests.support.client import SOON

#: Libraries leave a connection that they lost to the garbage, which may be looked through at any moment.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")

CHAT = uuid.uuid4()
Heard = asyncio.Queue[tuple[uuid.UUID, Hint]]


@pytest.fixture(autouse=True)
def shared(settings: Any, own_redis: OwnRedis) -> None:
    settings.REDIS_URL = own_redis.url
    settings.CHANNEL_LAYERS = {
        "wakes": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": own_redis.url, "socket_timeout": None}], "prefix": "lexicon"},
        }
    }


@asynccontextmanager
async def listening(wanted: set[uuid.UUID]) -> AsyncIterator[tuple[HintBus, Heard]]:
    """A process that follows these chats, and what it hears."""
    heard: Heard = asyncio.Queue()
    joined = asyncio.Event()

    async def note(chats: set[uuid.UUID]) -> None:
        joined.set()

    wakes = HintBus(
        uuid.uuid4(), wanted=lambda: wanted, heard=lambda chat, news: heard.put_nowait((chat, news)), joined=note
    )
    tasks = [asyncio.create_task(work()) for work in (wakes.listen, wakes.follow, wakes.publish)]
    wakes.review()
    if wanted:
        async with asyncio.timeout(SOON):
            await joined.wait()
    try:
        yield wakes, heard
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await wakes.close()


async def next_of(heard: Heard) -> tuple[uuid.UUID, Hint]:
    async with asyncio.timeout(SOON):
        return await heard.get()


async def test_who_follows_a_chat_hears_of_it_and_of_no_other() -> None:
    async with listening({CHAT}) as (_, heard), listening(set()) as (teller, _):
        teller.tell(uuid.uuid4(), Hint.CHANGED)
        teller.tell(CHAT, Hint.CHANGED)
        assert await next_of(heard) == (CHAT, Hint.CHANGED)
        assert heard.empty()


async def test_nobody_hears_himself() -> None:
    async with listening({CHAT}) as (wakes, heard), listening(set()) as (teller, _):
        wakes.tell(CHAT, Hint.CHANGED)
        teller.tell(CHAT, Hint.ASKED)
        assert await next_of(heard) == (CHAT, Hint.ASKED)


async def test_of_several_news_that_wait_the_request_is_told() -> None:
    async with listening({CHAT}) as (_, heard), listening(set()) as (teller, _):
        for news in (Hint.CHANGED, Hint.ASKED, Hint.CHANGED):
            teller.tell(CHAT, news)
        assert await next_of(heard) == (CHAT, Hint.ASKED)
        teller.tell(CHAT, Hint.CHANGED)
        assert await next_of(heard) == (CHAT, Hint.CHANGED)


@pytest.mark.parametrize(
    "unknown",
    [
        {"news": "a word of a later version"},
        {"chat": "no id"},
        {"from": 7},
        {"chat": None},
    ],
)
async def test_a_wake_up_that_this_version_does_not_know_is_ignored(unknown: dict[str, Any]) -> None:
    layer: Any = get_channel_layer("wakes")
    async with listening({CHAT}) as (_, heard), listening(set()) as (teller, _):
        await layer.group_send(group(CHAT), message(uuid.uuid4(), CHAT, Hint.CHANGED) | unknown)
        await layer.group_send(group(CHAT), {"type": "another"})
        teller.tell(CHAT, Hint.ASKED)
        assert await next_of(heard) == (CHAT, Hint.ASKED)


async def test_wake_ups_wait_for_a_redis_that_is_away(own_redis: OwnRedis) -> None:
    async with listening({CHAT}) as (_, heard), listening(set()) as (teller, _):
        own_redis.pause()
        teller.tell(CHAT, Hint.CHANGED)
        while not teller._away:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        own_redis.go_on()
        assert await next_of(heard) == (CHAT, Hint.CHANGED)


async def test_wake_ups_are_heard_after_a_silence_longer_than_any_timeout() -> None:
    """redis-py 8 closes a subscription after 5 s of silence: that silence is what this test is about."""
    async with listening({CHAT}) as (_, heard), listening(set()) as (teller, _):
        await asyncio.sleep(6.5)
        teller.tell(CHAT, Hint.CHANGED)
        assert await next_of(heard) == (CHAT, Hint.CHANGED)


async def test_wake_ups_are_heard_again_when_redis_comes_back_empty(own_redis: OwnRedis) -> None:
    async with listening({CHAT}) as (_, heard), listening(set()) as (teller, _):
        own_redis.kill()
        own_redis.start()

        async def tell() -> None:
            while True:
                teller.tell(CHAT, Hint.CHANGED)
                await asyncio.sleep(0.1)

        telling = asyncio.create_task(tell())
        assert await next_of(heard) == (CHAT, Hint.CHANGED)
        telling.cancel()


# --- Texts ---


class Copied:
    """A text that is mirrored here and echoed here, and lets a test wait for it."""

    def __init__(self, may_speak: Callable[[], bool] = lambda: True, *, listens: bool = False) -> None:
        self.live = ReplyText(uuid.uuid4(), CHAT, 1)
        self.redis = new_async_client()
        self.mirror = LiveTextPublisher(self.redis, uuid.uuid4(), may_speak=may_speak, listens=lambda chat_id: listens)
        self._heard = asyncio.Event()
        self._remote_texts = RemoteTexts(self.redis, said=lambda live: self._heard.set())
        self.echo = self._remote_texts.open(self.live.reply_id, CHAT, 1)
        self._tasks = [asyncio.create_task(work()) for work in (self.mirror.run, self._remote_texts.run)]

    def say(self, *pieces: str) -> None:
        for piece in pieces:
            self.live.append(piece)
        self.mirror.said(self.live)

    async def echoed(self, text: str) -> None:
        async with asyncio.timeout(SOON):
            while self.echo.text != text:
                self._remote_texts.heard(CHAT)
                self._heard.clear()
                await asyncio.wait([asyncio.create_task(self._heard.wait())], timeout=0.05)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.redis.aclose()


@pytest.fixture
async def copied() -> AsyncIterator[Copied]:
    copied = Copied()
    yield copied
    await copied.close()


async def test_an_echo_has_the_same_pieces(copied: Copied) -> None:
    copied.say("one", " two")
    copied.say(" üñ🙂")
    await copied.echoed("one two üñ🙂")
    assert copied.echo.pieces == copied.live.pieces


async def test_a_piece_wakes_those_who_follow_the_chat(copied: Copied) -> None:
    """The script publishes by itself what the layer's subscribers read."""
    async with listening({CHAT}) as (_, heard):
        copied.say("one")
        assert await next_of(heard) == (CHAT, Hint.SAID)


async def test_an_owner_that_listens_is_woken_by_nothing_it_says_unless_others_listen_too() -> None:
    copied = Copied(listens=True)
    try:
        async with listening({CHAT}) as (_, heard), listening(set()) as (teller, _):
            copied.say("one")
            await copied.echoed("one")
            teller.tell(CHAT, Hint.CHANGED)
            assert await next_of(heard) == (CHAT, Hint.CHANGED)
            async with copied.redis.pubsub() as elsewhere:
                await elsewhere.subscribe(f"lexicon__group__{group(CHAT)}")
                assert (await elsewhere.get_message(timeout=SOON))["type"] == "subscribe"
                copied.say(" two")
                assert await next_of(heard) == (CHAT, Hint.SAID)
    finally:
        await copied.close()


async def test_a_push_whose_answer_was_lost_is_pushed_again_and_stands_once(copied: Copied) -> None:
    copied.say("one", " two")
    await copied.echoed("one two")
    copied.live.published = 0
    copied.say(" three")
    await copied.echoed("one two three")
    assert await copied.redis.llen(key(copied.live.reply_id, 1)) == 3  # type: ignore[misc]


async def test_when_redis_comes_back_empty_the_whole_text_is_written_again(copied: Copied, own_redis: OwnRedis) -> None:
    copied.say("one", " two")
    await copied.echoed("one two")
    own_redis.kill()
    copied.say(" three")
    own_redis.start()
    await copied.echoed("one two three")
    assert await copied.redis.lrange(key(copied.live.reply_id, 1), 0, -1) == [b"one", b" two", b" three"]  # type: ignore[misc]


async def test_the_copy_of_an_ended_text_is_kept_for_a_short_while(copied: Copied) -> None:
    copied.say("one")
    await copied.echoed("one")
    long = await copied.redis.pttl(key(copied.live.reply_id, 1))
    copied.live.close(None)
    copied.say(" and out")
    await copied.echoed("one and out")
    assert 0 < await copied.redis.pttl(key(copied.live.reply_id, 1)) <= 30_000 < long


async def test_who_may_not_speak_pushes_nothing() -> None:
    allowed = [False]
    copied = Copied(may_speak=lambda: allowed[0])
    copied.say("one")
    await asyncio.sleep(0)
    assert await copied.redis.exists(key(copied.live.reply_id, 1)) == 0
    allowed[0] = True
    copied.say(" two")
    await copied.echoed("one two")
    await copied.close()
