"""A process is killed, or told to stop."""

from __future__ import annotations

import asyncio
import statistics
import time

from chats.models import Checkpoint, Connection, Process, Reply
from tests.campaign.callers import Caller
from tests.campaign.clients import Post, Talker
from tests.campaign.cluster import DRAIN, LEASE, Cluster
from tests.campaign.load import TEXT, all_ready, lasting, message, new_chats
from tests.campaign.stage import Stage, scenario

SWEEP = LEASE / 6


@scenario("F1", quick=True, own=True)
async def killed_alone(stage: Stage) -> None:
    """kill -9 of the only server, on SQLite, with 20 replies live and 200 messages acknowledged; started again."""
    stage.cluster = Cluster(stage.folder, stage.databases.new(on_sqlite=True), stage.model)
    server = stage.cluster.add_replica()
    await stage.cluster.start()
    acme = await stage.new_actor(credits=10_000_000)
    rounds, messages = (1, 100) if stage.quick else (5, 200)
    slowest = 0.0
    for turn in range(rounds):
        streaming = [
            stage.talker(f"s{turn}-{n}", acme, c) for n, c in enumerate(await new_chats(stage.database, acme, 20))
        ]
        sending = [
            stage.talker(f"m{turn}-{n}", acme, c) for n, c in enumerate(await new_chats(stage.database, acme, 10))
        ]
        await all_ready(streaming + sending)
        # They hold in the middle, so that the kill finds them all alive.
        held = f"F1-{turn}"
        asked = [
            (talker, await talker.post(message(TEXT, tokens=20, hold=held, hold_after=10))) for talker in streaming
        ]
        for talker in streaming:
            await talker.until(lambda talker=talker: talker.speaking, 60)
        sent = [(talker, await talker.post(message())) for _ in range(messages // 10 + 2) for talker in sending]
        await _acknowledged(sent, messages)
        await asyncio.to_thread(server.kill)
        await stage.model.release(held)
        began = time.monotonic()
        await asyncio.to_thread(server.start)
        up = time.monotonic()
        await asyncio.gather(*(talker.answered(post) for talker, post in asked))
        slowest = max(slowest, time.monotonic() - up)
        # A lease, a sweep, their own length (nothing to speak of), a second; three times that.
        stage.require(time.monotonic() - up <= 3 * (LEASE + SWEEP + 1), "the replies were not whole in time")
        if turn == 0:
            stage.note(f"started again in {up - began:.1f} s")
        await asyncio.gather(*(talker.answered(post) for talker, post in sent))
    stage.recovered_in = slowest
    tries = await stage.database.run(
        lambda: list(Reply.objects.for_tenant(acme.tenant_id).filter(tries__gt=1).values_list("tries", flat=True))
    )
    stage.note(f"{len(tries)} replies begun again")
    stage.require(len(tries) >= 20 * rounds, f"only {len(tries)} replies were cut")


@scenario("F1b", own=True)
async def killed_twice(stage: Stage) -> None:
    """kill -9 of the only server, on SQLite, twice within a minute; 20 replies are live both times, 10 the second."""
    stage.cluster = Cluster(stage.folder, stage.databases.new(on_sqlite=True), stage.model)
    server = stage.cluster.add_replica()
    await stage.cluster.start()
    acme = await stage.new_actor(credits=10_000_000)
    twice, once = [
        [stage.talker(f"{name}-{n}", acme, chat) for n, chat in enumerate(await new_chats(stage.database, acme, count))]
        for name, count in (("twice", 20), ("once", 10))
    ]
    await all_ready(twice + once)

    async def ask(talkers: list[Talker]) -> list[tuple[Talker, Post]]:
        asked = [(talker, await talker.post(message(TEXT, tokens=20, hold="F1b", hold_after=10))) for talker in talkers]
        for talker in talkers:
            await talker.until(lambda talker=talker: talker.speaking, 60)
        return asked

    def kept(epoch: int) -> int:
        return Checkpoint.objects.filter(epoch=epoch).values("reply").distinct().count()

    async def all_begun_again() -> bool:
        return await stage.database.run(kept, 2) == len(twice)

    asked = await ask(twice)
    stage.silenced = {post.content for _, post in asked}
    began = time.monotonic()
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await stage.within(45, "the replies were begun again", all_begun_again)
    asked += await ask(once)
    await asyncio.to_thread(server.kill)
    stage.require(time.monotonic() - began < 55, "this machine is too slow to kill it twice within a minute")
    stage.note(f"killed again after {time.monotonic() - began:.1f} s")
    await stage.model.release("F1b")
    await asyncio.to_thread(server.start)
    up = time.monotonic()
    await asyncio.gather(*(talker.answered(post) for talker, post in asked))
    stage.recovered_in = time.monotonic() - up
    stage.require(stage.recovered_in <= 3 * (LEASE + SWEEP + 1), "the replies did not end in time")
    # And each of these chats goes on.
    await asyncio.gather(*(talker.say(message()) for talker in twice))


async def _acknowledged(sent: list[tuple[Talker, Post]], enough: int) -> None:
    async with asyncio.timeout(60):
        while sum(bool(post.message_id) for _, post in sent) < enough:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@scenario("F2", quick=True)
async def killed_beside(stage: Stage) -> None:
    """kill -9 of one of two replicas behind nginx in the middle of replies, with 50 sockets on 25 chats."""
    acme = await stage.new_actor()
    chats = await new_chats(stage.database, acme, 25)
    talkers = [stage.talker(f"{user}-{n}", acme, chat) for n, chat in enumerate(chats) for user in ("alice", "bob")]
    await all_ready(talkers)
    asked = [(talker, await talker.post(lasting(4))) for talker in talkers[::2]]
    for talker in talkers:
        await talker.until(lambda talker=talker: talker.speaking, 60)
    victim = stage.cluster.replicas[0]
    where = await stage.database.run(
        lambda: {
            (str(chat), user): str(process)
            for chat, user, process in Connection.objects.for_tenant(acme.tenant_id).values_list(
                "chat_id", "user__external_id", "process_id"
            )
        }
    )
    hit = [talker for talker in talkers if where[talker.chat, talker.user] == victim.process_id]
    spared = [talker for talker in talkers if talker not in hit]
    stage.require(hit and spared, "all sockets were on one replica")
    await asyncio.to_thread(victim.kill)
    began = time.monotonic()
    back: list[float] = []

    async def returned(talker: Talker) -> None:
        await talker.until(lambda: len(talker.attempts_to_return) > 1, 30)
        back.append(time.monotonic() - began)

    await asyncio.gather(*map(returned, hit))
    await asyncio.gather(*(talker.answered(post) for talker, post in asked))
    stage.recovered_in = time.monotonic() - began
    stage.require(stage.recovered_in <= 3 * (LEASE + SWEEP + 4 + 1), "the replies were not whole in time")
    stage.require(not any(talker.closes for talker in spared), "a socket of the survivor was closed")
    tries = max(talker.attempts_to_return[1] for talker in hit)
    stage.require(tries <= 2, f"a client needed {tries} attempts to be back")
    stage.note(f"{len(hit)} of 50 sockets back in {statistics.median(back):.2f} s (slowest {max(back):.2f} s)")

    def occupied() -> int:
        return Connection.objects.for_tenant(acme.tenant_id).filter(process__in=Process.objects.living()).count()

    async def freed() -> bool:
        return await stage.database.run(occupied) == len(talkers)

    await stage.within(3 * (LEASE + 1), "the dead replica's slots are free", freed)
    await asyncio.to_thread(victim.start)


@scenario("F3", quick=True)
async def told_to_stop(stage: Stage) -> None:
    """SIGTERM to one of two replicas with 20 replies live, half of them longer than it may drain."""
    acme = await stage.new_actor()
    chats = await new_chats(stage.database, acme, 20)
    leaving, staying = stage.cluster.replicas
    bases = [staying.ws, leaving.ws]  # the first attempt goes to the second
    talkers = [stage.talker(f"t{n}", acme, chat, bases=bases) for n, chat in enumerate(chats)]
    await all_ready(talkers)
    conversation = await asyncio.to_thread(acme.new_conversation)
    caller = Caller(stage.history, "caller", acme, bases=(leaving.http, leaving.http))
    reading = asyncio.create_task(caller.ask(conversation, lasting(DRAIN / 3), id="sse"))
    short = [(talker, await talker.post(lasting(DRAIN / 3))) for talker in talkers[:10]]
    long = [(talker, await talker.post(lasting(3 * DRAIN))) for talker in talkers[10:]]
    for talker in talkers:
        await talker.until(lambda talker=talker: talker.speaking, 30)
    began = time.monotonic()
    code = await asyncio.to_thread(leaving.terminate, 3 * (DRAIN + 2))
    took = time.monotonic() - began
    stage.require(code == 0, f"the exit code was {code}")
    await asyncio.gather(*(talker.answered(post) for talker, post in short + long), reading)
    stage.recovered_in = time.monotonic() - began
    stage.require(all(talker.closes[:1] == [1012] for talker in talkers), "a socket was not closed with 1012")
    rows = await stage.database.run(
        lambda: {
            str(question): (tries, epoch)
            for question, tries, epoch in Reply.objects.for_tenant(acme.tenant_id).values_list(
                "question_id", "tries", "epoch"
            )
        }
    )
    stage.require(
        all(rows[str(post.message_id)] == (1, 1) for _, post in short), "a reply shorter than the drain was begun again"
    )
    stage.require(
        all(rows[str(post.message_id)] == (1, 2) for _, post in long), "a reply that was handed over spent a try"
    )
    stage.note(f"exit after {took:.1f} s; {len(long)} replies handed over")
    await asyncio.to_thread(leaving.start)
