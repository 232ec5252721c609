"""Clients that do not read, clients that are cut, and many that say nothing."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from pathlib import Path

from streaming.engine import LIVE_KEPT_SECONDS
from tests.campaign.callers import Caller
from tests.campaign.clients import Post, Talker
from tests.campaign.cluster import TIMERS, Replica
from tests.campaign.load import TEXT, all_ready, leave_all, message, new_chats
from tests.campaign.stage import Stage, scenario
from tests.faults.test_slow_readers import MB, MOST, Deaf, Memory, is_open

OFFERED = 20 * MB
IDLE_SECONDS = 120


@scenario("F7")
async def deaf(stage: Stage) -> None:
    """Five WebSockets and five SSE responses that stop reading, 20 MB offered to each; 20 clients that read."""
    server = stage.cluster.replicas[0]
    acme = await stage.new_actor(reply_max_characters=2 * OFFERED)
    acme.base = server.http
    chats = await new_chats(stage.database, acme, 23)
    talkers = [stage.talker(f"t{n}", acme, chat, bases=[server.ws]) for n, chat in enumerate(chats)]
    (first, second, third), healthy = talkers[:3], talkers[3:]
    await all_ready(talkers)
    # What the server needs for such replies is no cost of those who do not read them: the same, without these, in a
    # chat of its own, and forgotten before it begins again. The very first replies find the process small.
    await _offer(stage, first, healthy, [])
    await asyncio.sleep(LIVE_KEPT_SECONDS)
    needed, control = await _offer(stage, second, healthy, [])
    await asyncio.sleep(LIVE_KEPT_SECONDS)
    clients = [Deaf(server) for _ in range(10)]
    peak, meanwhile = await _offer(stage, third, healthy, clients)
    cost = (peak - needed) / len(clients)

    async def cut() -> bool:
        return not any(is_open(server, client.port) for client in clients)

    stage.recovered_in = await stage.within(
        3 * (float(TIMERS["SLOW_READER_SECONDS"]) + 10), "those that do not read are cut", cut
    )
    stage.require(cost <= MOST, f"one that does not read costs {cost / MB:.1f} MB")
    while Deaf.opened:
        Deaf.opened.pop().close()
    quick, slow = (statistics.median(figures) * 1000 for figures in (control, meanwhile))
    stage.note(
        f"{cost / MB:.1f} MB each of {OFFERED / MB:.0f}; a reply beside them {slow:.0f} ms, without them {quick:.0f} ms"
    )


async def _offer(stage: Stage, speaker: Talker, healthy: list[Talker], clients: list[Deaf]) -> tuple[int, list[float]]:
    """Say 20 MB in a chat, and as much in a response, to who reads and to half of `clients` each.

    The most memory that the server had, and how long the replies of healthy clients took meanwhile.
    """
    server, acme = stage.cluster.replicas[0], speaker.actor
    conversation = await asyncio.to_thread(acme.new_conversation)
    memory = Memory(server)
    half = len(clients) // 2
    for client in clients[:half]:
        await client.open_socket(acme, speaker.chat)
    for _ in range(8):
        await speaker.post(_long(OFFERED // 8))
    name = f"F7-{speaker.name}"
    # The reader of this response keeps up.
    caller = Caller(stage.history, f"caller-{name}", acme)
    # It holds until the others listen, too.
    reading = asyncio.create_task(caller.ask(conversation, _long(OFFERED, hold=name), id=name, seconds=180))
    await stage.within(15, "the response begins", lambda: _begun(caller))
    address = f"/api/v1/customer/conversations/{conversation}/stream"
    for client in clients[half:]:
        await client.ask(f"GET {address} HTTP/1.1\nHost: 127.0.0.1\nAuthorization: Bearer {acme.customer_key}\n\n")
        await client.read(until=b"text/event-stream")
    await stage.model.release(name)
    took: list[float] = []
    began = time.monotonic()
    while await stage.database.open_replies(stage.actors) and time.monotonic() - began < 60:
        took += await asyncio.gather(*map(_say, healthy))
    await reading
    return memory.most, took


def _long(characters: int, **directives: str) -> str:
    """A message that is answered with so many characters, in tokens of 4000."""
    return message("0123456789", repeat=characters // 10, tokens=characters // 4000, **directives)


async def _begun(caller: Caller) -> bool:
    return bool(caller.text)


async def _say(talker: Talker) -> float:
    began = time.monotonic()
    await talker.say(message(), 180)
    return time.monotonic() - began


@scenario("F8")
async def cut(stage: Stage) -> None:
    """A client is cut at eight random points of each reply, and comes back to the other replica or the same."""
    acme = await stage.new_actor()
    here, there = stage.cluster.sockets
    ways = [([here], True), ([here, there], True), ([here], False), ([there, here, here], False)]
    chats = await new_chats(stage.database, acme, 2 * len(ways))
    talkers = []
    for n, chat in enumerate(chats):
        bases, resumes = ways[n % len(ways)]
        talkers.append(stage.talker(f"t{n}", acme, chat, bases=bases))
        talkers[-1].resumes = resumes
    tab = await new_chats(stage.database, acme, 1)
    closed = stage.talker("closed-tab", acme, tab[0])
    await all_ready([*talkers, closed])

    async def suffer(talker: Talker) -> Post:
        # It holds near its end, until everybody is back.
        post = await talker.acknowledged(
            await talker.post(message(TEXT, tokens=40, every_ms=50, hold="F8", hold_after=38))
        )
        await talker.until(lambda: talker.speaking, 30)
        for _ in range(8):
            await asyncio.sleep(random.uniform(0, 0.4))
            await talker.ready()
            closes = len(talker.closes)
            talker.cut()
            await talker.until(lambda before=closes: len(talker.closes) > before, 10)
        await talker.ready()
        return post

    await closed.acknowledged(await closed.post(message(TEXT, tokens=40, total_ms=2000)))
    closed.returns = False
    closed.cut()
    conversation = await asyncio.to_thread(acme.new_conversation)
    caller = Caller(stage.history, "caller", acme, bases=tuple(replica.http for replica in stage.cluster.replicas))
    content = message(TEXT, tokens=40, total_ms=3000)
    reading = asyncio.create_task(caller.ask(conversation, content, id="sse", cut_after=8))
    posts = await asyncio.gather(*map(suffer, talkers))
    await stage.model.release("F8")
    await asyncio.gather(*(talker.answered(post) for talker, post in zip(talkers, posts, strict=True)))
    said = await reading
    stage.require(said == TEXT, f"the response that was cut said {said!r}")
    for talker in talkers:
        first, *later = (event for event in talker.events if event["event_type"] == "message_stream_started")
        stage.require(not first.get("resumed"), "the first start was said to be resumed")
        stage.require(later and all(event.get("resumed") for event in later), "a start was not said to be resumed")
    stage.talkers.remove(closed)
    await leave_all([closed])
    stage.note(f"{sum(len(talker.closes) for talker in talkers)} cuts of {len(talkers)} sockets, 8 of a response")


@scenario("F9")
async def idle(stage: Stage) -> None:
    """1,000 sockets of 25 tenants that say nothing for two minutes; opened and closed three times."""
    actors = [await stage.new_actor(f"Tenant {n}") for n in range(25)]
    chats = [(actor, chat) for actor in actors for chat in await new_chats(stage.database, actor, 40)]
    replica = stage.cluster.replicas[0]
    # Started anew: what it still gives back of the faults before is not these sockets'. And used a little: the pool of
    # connections and the first fifty of anything are not theirs either.
    await asyncio.to_thread(replica.terminate)
    await asyncio.to_thread(replica.start)
    few = [Talker(stage.history, f"w-{n}", *chats[n], bases=[replica.ws]).start() for n in range(50)]
    await all_ready(few)
    await asyncio.gather(*map(_say, few))
    await leave_all(few)
    before, sizes, cost, cpu = _state(replica), [], 0.0, 0.0
    alone: list[float] = []
    among: list[float] = []
    for turn in range(3):
        talkers = []
        for n, (actor, chat) in enumerate(chats):
            talkers.append(Talker(stage.history, f"t{turn}-{n}", actor, chat, bases=[replica.ws]).start())
            if n % 50 == 49:
                await all_ready(talkers[-50:])
            if n == 49:
                alone += [await _say(talker) for talker in talkers]
        opened = _state(replica)
        await asyncio.sleep(IDLE_SECONDS if turn == 0 else 2)
        if turn == 0:
            cost = (opened["rss"] - before["rss"]) / len(talkers)
            cpu = (_state(replica)["cpu"] - opened["cpu"]) / IDLE_SECONDS
        dropped = sum(bool(talker.closes) for talker in talkers)
        stage.require(not dropped, f"{dropped} of {len(talkers)} sockets were dropped")
        among += [await _say(talker) for talker in talkers[::20]]
        await leave_all(talkers)
        sizes.append(opened["rss"])

    async def closed() -> bool:
        return _state(replica)["fds"] <= before["fds"] * 1.05 + 5

    await stage.within(30, "the descriptors are given back", closed)
    slow, quick = (sorted(took)[len(took) * 95 // 100] * 1000 for took in (among, alone))
    stage.note(
        f"{len(chats)} sockets: {cost / 1024:.0f} KB each, {cpu:.0%} of a core; memory the third time "
        f"{sizes[2] / sizes[1] - 1:+.0%}; a reply among them {slow:.0f} ms, among 50 {quick:.0f} ms (95 %)"
    )


def _state(replica: Replica) -> dict[str, float]:
    """Resident bytes, seconds of processor time, and open descriptors of a process."""
    assert replica.process is not None
    process = Path(f"/proc/{replica.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return {
        "rss": int(status["VmRSS"].split()[0]) * 1024,
        "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        "fds": len(list((process / "fd").iterdir())),
    }
