"""Redis dies, hangs, or loses what it is given."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import Callable
from functools import partial

import httpx
from channels_redis.pubsub import RedisPubSubChannelLayer

from streaming.hints import Hint, group
from streaming.hints import message as wake_up
from tests.campaign.callers import HTTP, Pulse
from tests.campaign.clients import Talker
from tests.campaign.cluster import LEASE, Cluster
from tests.campaign.load import all_ready, closed_loop, lasting, leave_all, message, new_chats, settle
from tests.campaign.stage import Stage, scenario
from tests.support.actors import Actor

#: How long who listens elsewhere may wait to be told without Redis: a look and what comes with it, three times.
UNHELPED = 3 * (LEASE / 6 + 1)


@scenario("F4", quick=True)
async def killed(stage: Stage) -> None:
    """kill -9 of Redis, some seconds later started again, empty."""
    redis = stage.cluster.redis
    assert redis is not None
    await _away(stage, redis.kill, redis.start, seconds=2 if stage.quick else 5)


@scenario("F4b")
async def hanging(stage: Stage) -> None:
    """SIGSTOP of Redis: it answers nobody and refuses nobody."""
    redis = stage.cluster.redis
    assert redis is not None
    await _away(stage, redis.pause, redis.go_on, seconds=10)


async def _away(stage: Stage, leave: Callable[[], None], back: Callable[[], None], *, seconds: float) -> None:
    acme = await stage.new_actor()
    limited = await stage.new_actor("Limited", rest_per_minute=20)
    here, there = stage.cluster.sockets
    chats = await new_chats(stage.database, acme, 10, status="escalated")
    pairs = [
        (stage.talker(f"p{n}", acme, c, bases=[here]), stage.talker(f"o{n}", acme, c, bases=[there]))
        for n, c in enumerate(chats)
    ]
    speaking = [
        (stage.talker(f"s{n}", acme, c, bases=[here]), stage.talker(f"l{n}", acme, c, bases=[there]))
        for n, c in enumerate(await new_chats(stage.database, acme, 10))
    ]
    await all_ready(stage.talkers)
    control = await _loop(pairs, 3)
    asked = [(talker, await talker.post(lasting(seconds + 2))) for talker, _ in speaking]
    for _, listener in speaking:
        await listener.until(lambda listener=listener: listener.speaking, 30)
    await asyncio.to_thread(leave)
    began = time.monotonic()
    pulse = Pulse(*(replica.http for replica in stage.cluster.replicas))
    stage.closing.callback(pulse.stop)
    meanwhile: list[float] = []
    newcomers = [
        Talker(stage.history, f"new-{n}", acme, chats[n], bases=[stage.cluster.sockets[n % 2]]).start()
        for n in range(10)
    ]
    stage.talkers += newcomers
    while time.monotonic() - began < seconds:
        meanwhile += await _loop(pairs, 1)
    async with asyncio.timeout(30):
        await all_ready(newcomers)
    passed = await _knock(stage, limited)
    lag = pulse.stop()
    stage.require(pulse.statuses == {200}, f"liveness was {pulse.statuses}")
    await asyncio.to_thread(back)
    up = time.monotonic()
    stage.require(passed <= 40, f"{passed} requests passed where 20 are allowed, on each of two replicas")
    # Live again: what is told elsewhere needs no look.
    quick = max(0.1, 3 * statistics.median(control))
    async with asyncio.timeout(30):
        while statistics.median(after := await _loop(pairs, 1)) > quick and time.monotonic() - up < 9:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    stage.recovered_in = time.monotonic() - up
    stage.require(statistics.median(after) <= quick, "9 s after Redis was back, others are still told late")
    await asyncio.gather(*(talker.answered(post) for talker, post in asked))
    stage.require(not any(talker.closes for talker in stage.talkers), "a socket was closed")
    stage.require(all(talker.attempts_to_return == [1] for talker in newcomers), "a new socket was refused")
    milliseconds = [f"{statistics.median(figures) * 1000:.0f}" for figures in (control, meanwhile, after)]
    stage.note(
        f"told elsewhere after {', '.join(milliseconds)} ms (before, meanwhile, after); "
        f"{passed} of 100 requests passed; {lag}"
    )


async def _loop(pairs: list[tuple[Talker, Talker]], count: int) -> list[float]:
    done = await asyncio.gather(*(closed_loop(*pair, count, deadline=UNHELPED) for pair in pairs))
    return [took for some in done for took in some]


async def _knock(stage: Stage, limited: Actor) -> int:
    """How many of 100 requests, half to each replica, pass."""
    async with httpx.AsyncClient(**HTTP, headers={"X-API-Key": limited.tenant_key}) as http:
        answers = await asyncio.gather(
            *(http.get(f"{stage.cluster.replicas[n % 2].http}/api/v1/chats/") for n in range(100))
        )
    stage.require({answer.status_code for answer in answers} <= {200, 429}, "a request was neither passed nor limited")
    return sum(answer.status_code == 200 for answer in answers)


@scenario("F4c", own=True)
async def forgetful(stage: Stage) -> None:
    """The channel layer loses 5 %, then all, of what it is given."""
    for percent in (5, 100):
        folder = stage.folder / str(percent)
        folder.mkdir()
        database = stage.databases.new(on_sqlite=False) if percent == 5 else stage.cluster.database
        cluster = stage.cluster = Cluster(folder, database, stage.model).with_redis()
        for _ in range(2):
            cluster.add_replica(bug=f"drop-{percent}")
        await cluster.start()
        acme = await stage.new_actor()
        chats = await new_chats(stage.database, acme, 8)
        here, there = cluster.sockets
        pairs = [
            (
                Talker(stage.history, f"p{percent}-{n}", acme, chat, bases=[here]).start(),
                Talker(stage.history, f"o{percent}-{n}", acme, chat, bases=[there]).start(),
            )
            for n, chat in enumerate(chats)
        ]
        both = [talker for pair in pairs for talker in pair]
        await all_ready(both)
        took = await _loop(pairs, 10)
        stage.note(
            f"{percent} % lost: told elsewhere after {statistics.median(took) * 1000:.0f} ms, at most {max(took):.1f} s"
        )
        last = [(talker, await talker.post(message())) for talker, _ in pairs]
        await asyncio.gather(*(talker.answered(post) for talker, post in last))
        if percent == 5:
            stage.require(await settle(stage.history, stage.database, [acme], both), "not all was told")
            await leave_all(both)
            cluster.close()
        else:
            stage.talkers += both


@scenario("F4d")
async def of_a_later_version(stage: Stage) -> None:
    """A wake-up with a word that no process knows, as a later version beside them might send."""
    assert stage.cluster.redis is not None
    acme = await stage.new_actor()
    here, there = stage.cluster.sockets
    chats = await new_chats(stage.database, acme, 5)
    pairs = [
        (stage.talker(f"s{n}", acme, c, bases=[here]), stage.talker(f"w{n}", acme, c, bases=[there]))
        for n, c in enumerate(chats)
    ]
    await all_ready(stage.talkers)
    before = await _far_lags(stage, pairs)
    layer = RedisPubSubChannelLayer(hosts=[stage.cluster.redis.url], prefix="lexicon")
    for chat in map(uuid.UUID, chats):
        await layer.group_send(group(chat), wake_up(uuid.uuid4(), chat, Hint.CHANGED) | {"news": "a later word"})
    await layer.flush()
    after = await _far_lags(stage, pairs)
    usual, unchanged = statistics.median(before), statistics.median(after)
    # Without wake-ups it would be half a look, in lumps.
    stage.require(
        unchanged <= max(0.1, 3 * usual), f"tokens come {unchanged:.2f} s late elsewhere, {usual:.2f} s before"
    )
    stage.require(not any(talker.closes for talker in stage.talkers), "a socket was closed")
    stage.note(
        f"tokens are told elsewhere {usual * 1000:.0f} ms later, {unchanged * 1000:.0f} ms after an unknown word"
    )


async def _far_lags(stage: Stage, pairs: list[tuple[Talker, Talker]]) -> list[float]:
    """How much later a watcher of the other replica was told each token of a reply to each pair, in seconds."""
    begin = len(stage.history.lines)
    posts = [(speaker, await speaker.post(lasting(2))) for speaker, _ in pairs]
    await asyncio.gather(*(speaker.answered(post) for speaker, post in posts))
    ended = [(pair[1], post.message_id) for pair, (_, post) in zip(pairs, posts, strict=True)]
    await asyncio.gather(*(watcher.until(partial(_saw_end, watcher, id), 30) for watcher, id in ended))
    told: dict[tuple[str, int], dict[str, float]] = {}
    for line in stage.history.lines[begin:]:
        event = line.get("event", {})
        if line["op"] == "see" and event["event_type"] == "message_stream_token":
            told.setdefault((event["message_id"], event["offset"]), {})[line["client"][0]] = line["at"]
    return [at["w"] - at["s"] for at in told.values() if at.keys() == {"s", "w"}]


def _saw_end(watcher: Talker, question: str | None) -> bool:
    return any(event.get("reply_to") == question and "content" in event for event in reversed(watcher.events))
