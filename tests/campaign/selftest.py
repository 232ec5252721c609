"""Is the checker any good? Six servers, each with a bug that it must find; and one without, where it finds nothing.

Nothing here is found by chance: what a bug needs in order to show has happened before the load goes on
(tests/campaign/sabotage.py says how).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.campaign.callers import pry
from tests.campaign.checker import Verdict, check
from tests.campaign.clients import Talker
from tests.campaign.cluster import Cluster, Model
from tests.campaign.database import Databases
from tests.campaign.history import History
from tests.campaign.load import all_ready, closed_loop, leave_all, message, new_chats, settle
from tests.support.actors import Actor

Part = Callable[[Cluster, History], Awaitable[list[Actor]]]


def patience(cluster: Cluster) -> float:
    """How long somebody who stays open may wait to be told, in seconds.

    With a bug, some wait in vain. Without one, nobody does, on however busy a machine.
    """
    return 15.0 if cluster.replicas[0].bug else 150.0


async def all_told(cluster: Cluster, history: History, actors: list[Actor], talkers: list[Talker]) -> None:
    """Let everything settle."""
    seconds = patience(cluster)
    await settle(history, cluster.database, actors, talkers, seconds=4 * seconds, told=seconds)


async def killed(cluster: Cluster, history: History) -> list[Actor]:
    """A server is killed while it acknowledges, and comes back. What it acknowledged early is not committed then."""
    acme = await cluster.new_actor()
    chats = await new_chats(cluster.database, acme, 6)
    server = cluster.replicas[0]
    talkers = [Talker(history, f"killed-{n}", acme, chat, bases=[server.ws]).start() for n, chat in enumerate(chats)]
    await all_ready(talkers)
    with cluster.held():
        for _ in range(10):
            for talker in talkers:
                await talker.post(message())
        for talker in talkers:
            await talker.until(lambda talker=talker: any(post.message_id for post in talker.posts.values()), 30)
        await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    for talker in talkers:
        for post in talker.posts.values():
            await talker.acknowledged(post)
    await all_told(cluster, history, [acme], talkers)
    await leave_all(talkers)
    return [acme]


async def crowded(cluster: Cluster, history: History) -> list[Actor]:
    """Eight clients talk at once in one chat. What may overtake another message has done so, and was told."""
    acme = await cluster.new_actor()
    [chat] = await new_chats(cluster.database, acme, 1)
    talkers = [
        Talker(history, f"crowded-{n}", acme, chat, bases=[cluster.sockets[n % len(cluster.sockets)]]) for n in range(8)
    ]
    for talker in talkers:
        talker.seen = 0
        talker.start()
    await all_ready(talkers)
    with cluster.held():
        posts = [(talker, await talker.post(message())) for talker in talkers]
        await asyncio.gather(*(talker.until(lambda talker=talker: talker.seen, 30) for talker in talkers))
    seconds = patience(cluster)
    with contextlib.suppress(TimeoutError):
        for _ in range(5):
            await asyncio.gather(*(talker.acknowledged(post, seconds) for talker, post in posts))
            posts = [(talker, await talker.post(message())) for talker in talkers]
        await asyncio.gather(*(talker.acknowledged(post, seconds) for talker, post in posts))
    await all_told(cluster, history, [acme], talkers)
    await leave_all(talkers)
    return [acme]


async def repeated(cluster: Cluster, history: History) -> list[Actor]:
    """Each message is sent three times at once."""
    acme = await cluster.new_actor()
    [chat] = await new_chats(cluster.database, acme, 1)
    talkers = [Talker(history, f"repeated-{n}", acme, chat, user="alice").start() for n in range(3)]
    await all_ready(talkers)
    for n in range(10):
        content = message()
        for talker in talkers:
            await talker.post(content, id=f"same-{n}")
    for talker in talkers:
        for post in talker.posts.values():
            with contextlib.suppress(TimeoutError):
                await talker.acknowledged(post, patience(cluster))
    await all_told(cluster, history, [acme], talkers)
    await leave_all(talkers)
    return [acme]


async def observed(cluster: Cluster, history: History) -> list[Actor]:
    """Who posts at one process waits for who listens at another."""
    acme = await cluster.new_actor()
    # A person answers here: each message is one wake-up, and no later one makes up for it.
    chats = await new_chats(cluster.database, acme, 8, status="escalated")
    here, there = cluster.sockets
    pairs = [
        (
            Talker(history, f"poster-{n}", acme, chat, bases=[here]).start(),
            Talker(history, f"observer-{n}", acme, chat, bases=[there]).start(),
        )
        for n, chat in enumerate(chats)
    ]
    await all_ready(talker for pair in pairs for talker in pair)
    await asyncio.gather(*(closed_loop(*pair, 15, deadline=patience(cluster)) for pair in pairs))
    await leave_all(talker for pair in pairs for talker in pair)
    return [acme]


async def poor(cluster: Cluster, history: History) -> list[Actor]:
    """Twenty clients ask at once on five credits."""
    acme = await cluster.new_actor(credits=5)
    chats = await new_chats(cluster.database, acme, 20)
    talkers = [Talker(history, f"poor-{n}", acme, chat).start() for n, chat in enumerate(chats)]
    await all_ready(talkers)
    posts = [(talker, await talker.post(message(usage=[1, 0]))) for talker in talkers]
    await asyncio.gather(*(talker.acknowledged(post) for talker, post in posts))
    await all_told(cluster, history, [acme], talkers)
    await leave_all(talkers)
    return [acme]


async def prying(cluster: Cluster, history: History) -> list[Actor]:
    """Globex asks for what is Acme's."""
    acme, globex = await cluster.new_actor(), await cluster.new_actor("Globex")
    [chat] = await new_chats(cluster.database, acme, 1)
    talker = await Talker(history, "alice", acme, chat).start().ready()
    await talker.say(message())
    await pry(history, "mallory", globex, chat)
    intruder = Talker(history, "mallory-2", globex, chat).start()
    await intruder.until(lambda: intruder.gone or intruder.is_open, 30)
    await all_told(cluster, history, [acme], [talker])
    await leave_all([talker, intruder])
    return [acme, globex]


#: The load that shows each bug, and the words for it.
SEEDED: dict[str, tuple[Part, set[str]]] = {
    "acknowledge-before-commit": (killed, {"lost"}),
    "cursor-on-auto-increment": (crowded, {"order", "lost"}),
    "no-dedupe": (repeated, {"duplicated"}),
    "drop-wake-ups": (observed, {"lost"}),
    "credits-by-read-then-write": (poor, {"money"}),
    "missing-tenant-filter": (prying, {"unexpected"}),
}


async def run(folder: Path, databases: Databases, model: Model) -> bool:
    """Whether every bug was found, and nothing where there is none. Prints what was."""
    # Started a few at a time: there are about two cores.
    room = asyncio.Semaphore(3)
    names = ["", *SEEDED]

    async def one(bug: str) -> Verdict:
        parts = [SEEDED[bug][0]] if bug else [part for part, _ in reversed(SEEDED.values())]
        async with room:
            return await _try(folder / (bug or "unpatched"), databases, model, bug, parts)

    verdicts = dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))
    clean = verdicts.pop("")
    found = {bug: SEEDED[bug][1] & {item.kind for item in verdict.violations} for bug, verdict in verdicts.items()}
    for bug, kinds in found.items():
        first = next((item for item in verdicts[bug].violations if item.kind in kinds), None)
        print(f"  {bug:28} {'found: ' + first.kind + ': ' + first.text if first else 'NOT FOUND'}"[:160])
    print(f"  {'unpatched':28} {'nothing found' if not clean.violations else 'FOUND WHERE NOTHING IS:'}")
    for item in clean.violations:
        print(f"    {item.kind}: {item.text}")
    missed = [bug for bug, kinds in found.items() if not kinds]
    print(f"  {len(found) - len(missed)} of {len(found)} seeded bugs were found", flush=True)
    if missed:
        print(f"  Not found: {', '.join(missed)}", flush=True)
    return not missed and not clean.violations


async def _try(folder: Path, databases: Databases, model: Model, bug: str, parts: list[Part]) -> Verdict:
    folder.mkdir()  # noqa: ASYNC240
    # Not in the event loop, which all the clients share.
    cluster = Cluster(folder, await asyncio.to_thread(databases.new, on_sqlite=False), model)
    history = History(folder / "history.jsonl")
    try:
        if observed in parts:
            cluster.with_redis()
            cluster.add_replica(bug=bug)
        cluster.add_replica(bug=bug)
        await cluster.start()
        actors = [actor for part in parts for actor in await part(cluster, history)]
        return check(history.lines, await cluster.database.dump(actors))
    finally:
        history.close()
        cluster.close()
