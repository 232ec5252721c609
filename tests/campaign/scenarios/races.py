"""Everybody at once: repeats, one crowded chat, limits."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import httpx

from chats.models import Reply
from tenants.models import CreditEntry
from tests.campaign.callers import HTTP, Caller
from tests.campaign.clients import Talker
from tests.campaign.load import all_ready, message, new_chats
from tests.campaign.stage import Stage, scenario


@scenario("F11", quick=True)
async def repeated(stage: Stage) -> None:
    """Each message is sent three times at once: to both replicas over WebSockets, and over the customer API."""
    acme = await stage.new_actor(credits=100_000)
    count = 3 if stage.quick else 10
    conversations = [await asyncio.to_thread(acme.new_conversation) for _ in range(10)]
    here, there = stage.cluster.sockets
    rooms = [
        (
            chat,
            stage.talker(f"a{n}", acme, chat, user=chat, bases=[here]),
            stage.talker(f"b{n}", acme, chat, user=chat, bases=[there]),
            Caller(stage.history, f"c{n}", acme),
        )
        for n, chat in enumerate(conversations)
    ]
    await all_ready(stage.talkers)

    async def thrice(n: int) -> None:
        chat, first, second, caller = rooms[n]
        for number in range(count):
            content, same = message(total_ms=100), f"{chat}-{number}"
            posts = [await first.post(content, id=same), await second.post(content, id=same)]
            await caller.ask(chat, content, id=same)
            await asyncio.gather(first.answered(posts[0]), second.answered(posts[1]))
            stage.require(len({post.message_id for post in posts}) == 1, "a repeat was told under another id")

    await asyncio.gather(*map(thrice, range(10)))
    total = 10 * count
    rows, charges, begun = await stage.database.run(
        lambda: (
            Reply.objects.for_tenant(acme.tenant_id).count(),
            CreditEntry.objects.for_tenant(acme.tenant_id).filter(reason="reply").count(),
            sum(Reply.objects.for_tenant(acme.tenant_id).values_list("tries", flat=True)),
        )
    )
    stage.require(
        (rows, charges, begun) == (total,) * 3, f"{total} messages: {rows} replies, {begun} begun, {charges} charged"
    )
    stage.note(f"{total} messages sent 3 times: {rows} replies, {charges} charges")
    await _conflicts(stage, *rooms[0])


async def _conflicts(stage: Stage, chat: str, talker: Talker, _: Talker, caller: Caller) -> None:
    """The same id with other content is refused on each face."""
    refused = await talker.acknowledged(await talker.post("Something else", id=f"{chat}-0"))
    stage.require(refused.refused == "INVALID_REQUEST", f"another payload on the socket: {refused.refused}")
    async with httpx.AsyncClient(**HTTP) as http:
        answer = await http.post(
            f"{caller.actor.base}/api/v1/customer/conversations/{chat}/messages",
            json={"message": "Something else"},
            headers={"Authorization": f"Bearer {caller.actor.customer_key}", "Idempotency-Key": f"{chat}-0"},
        )
    stage.require(answer.status_code == 422, f"another payload over HTTP: {answer.status_code}")


@scenario("F12", quick=True)
async def crowded(stage: Stage) -> None:
    """Eight sockets on two replicas talk at once in one chat."""
    acme = await stage.new_actor()
    [chat] = await new_chats(stage.database, acme, 1)
    sockets = stage.cluster.sockets
    talkers = [stage.talker(f"t{n}", acme, chat, bases=[sockets[n % 2]]) for n in range(8)]
    await all_ready(talkers)
    before = await _deadlocks(stage)
    count = 8 if stage.quick else 25

    async def talk(n: int) -> None:
        posts = [await talkers[n].post(message()) for _ in range(count)]
        await talkers[n].answered(posts[-1], 120)

    began = time.monotonic()
    await asyncio.gather(*map(talk, range(8)))
    stage.note(f"{8 * count} messages answered in {time.monotonic() - began:.1f} s")
    deadlocks = await _deadlocks(stage) - before
    stage.require(not deadlocks, f"{deadlocks} deadlocks")


async def _deadlocks(stage: Stage) -> int:
    def ask() -> int:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            return int(cursor.fetchone()[0])

    return await stage.database.run(ask)


@scenario("F17", quick=True)
async def limited(stage: Stage) -> None:
    """300 requests, 200 frames and 60 sockets at once against the limits, on two replicas behind nginx."""
    acme = await stage.new_actor(rest_per_minute=100, ws_messages_per_second=10, ws_connections=50)
    room = asyncio.Semaphore(32)
    async with httpx.AsyncClient(**HTTP, headers={"X-API-Key": acme.tenant_key}) as http:

        async def knock() -> httpx.Response:
            async with room:
                return await http.get(f"{acme.base}/api/v1/chats/")

        answers = await asyncio.gather(*(knock() for _ in range(300)))
    statuses = Counter(answer.status_code for answer in answers)
    stage.require(statuses == {200: 100, 429: 200}, f"300 requests: {dict(statuses)}")
    left = sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in answers if answer.status_code == 200)
    stage.require(left == list(range(100)), "what is left was not counted down one by one")
    waits = {int(answer.headers["Retry-After"]) for answer in answers if answer.status_code == 429}
    stage.require(waits and min(waits) > 0 and max(waits) <= 60, f"Retry-After said {waits}")

    chats = await new_chats(stage.database, acme, 60)
    talkers = [stage.talker(f"t{n}", acme, chat) for n, chat in enumerate(chats)]
    for talker in talkers:
        talker.returns = False
    await asyncio.gather(*(t.until(lambda t=t: t.is_open or t.closes, 60) for t in talkers))
    admitted = [talker for talker in talkers if talker.is_open]
    stage.require(len(admitted) == 50, f"{len(admitted)} of 60 sockets were admitted")
    stage.require(all(t.closes == [4429] for t in talkers if not t.is_open), "a socket was refused with another code")

    talker = admitted[0]
    talker.repeats = False
    posts = [await talker.post(message()) for _ in range(200)]
    await asyncio.gather(*(talker.acknowledged(post, 60) for post in posts))
    stage.require(talker.is_open, "the socket was closed for its frames")
    times = [line["at"] for line in stage.history.lines if line["op"] == "post"]
    accepted = sum(post.message_id is not None for post in posts)
    # Ten at once and, where the machine took its time, ten more in each second after.
    seconds = times[-1] - times[0]
    stage.require(10 <= accepted <= 10 * (1 + int(seconds)), f"{accepted} frames passed in {seconds:.1f} s")
    stage.require(all(post.message_id or post.refused == "RATE_LIMIT_EXCEEDED" for post in posts), "another refusal")
    stage.note(f"100 of 300 requests, 50 of 60 sockets, {accepted} of 200 frames in {seconds:.2f} s")
