"""PostgreSQL dies, or takes what it is sent and never answers. A server of the campaign's own."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import httpx
import psycopg

from core.db.executor import THREADS
from tests.campaign.callers import HTTP, Caller, Pulse
from tests.campaign.cluster import Cluster, Replica
from tests.campaign.database import Database
from tests.campaign.load import all_ready, lasting, message, new_chats
from tests.campaign.stage import Stage, scenario
from tests.faults.postgresql.cluster import Cluster as PostgreSQL
from tests.faults.postgresql.cluster import find_programs
from tests.faults.postgresql.proxy import Proxy


async def own_postgresql(stage: Stage) -> PostgreSQL:
    """It runs until the scenario is judged."""
    assert find_programs() is not None, "initdb and pg_ctl are not here"
    postgresql = PostgreSQL()
    stage.closing.callback(postgresql.close)
    await asyncio.to_thread(postgresql.make)
    return postgresql


class Poller:
    """Asks over REST all the time, and remembers when it was answered how."""

    def __init__(self, base: str, key: str, chat: str) -> None:
        self._base, self._key, self._chat = base, key, chat
        self.answers: list[tuple[float, int, bool]] = []
        self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        async with httpx.AsyncClient(**HTTP, headers={"X-API-Key": self._key}) as http:
            while True:
                answer = await http.get(f"{self._base}/api/v1/chats/{self._chat}")
                patient = answer.status_code != 503 or "Retry-After" in answer.headers
                self.answers.append((time.monotonic(), answer.status_code, patient))
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        self._task.cancel()

    def since(self, moment: float) -> list[tuple[float, int, bool]]:
        return [answer for answer in self.answers if answer[0] >= moment]


@scenario("F5", own=True)
async def stopped(stage: Stage) -> None:
    """PostgreSQL stops without a word in the middle of replies, is away for two seconds, and starts again."""
    postgresql = await own_postgresql(stage)
    cluster = stage.cluster = Cluster(stage.folder, Database(postgresql.new_database()), stage.model).with_redis()
    for _ in range(2):
        cluster.add_replica()
    await cluster.start()
    cluster.with_nginx()
    acme = await stage.new_actor(credits=100_000)
    chats = await new_chats(stage.database, acme, 20)
    talkers = [stage.talker(f"t{n}", acme, chat) for n, chat in enumerate(chats)]
    await all_ready(talkers)
    conversation = await asyncio.to_thread(acme.new_conversation)
    caller = Caller(stage.history, "caller", acme)
    reading = asyncio.create_task(caller.ask(conversation, lasting(6), id="sse"))
    asked = [(talker, await talker.post(lasting(6))) for talker in talkers]
    for talker in talkers:
        await talker.until(lambda talker=talker: talker.speaking, 30)
    poller = Poller(cluster.base, acme.tenant_key, chats[0])
    stage.closing.callback(poller.stop)
    await asyncio.to_thread(postgresql.stop)
    # Sent while nobody can store it: refused, and sent again.
    meanwhile = [(talker, await talker.post(message())) for talker in talkers]
    await asyncio.sleep(2)
    await asyncio.to_thread(postgresql.start)
    up = time.monotonic()

    async def answered() -> bool:
        return any(status == 200 for _, status, _ in poller.since(up))

    stage.recovered_in = await stage.within(3 * 2, "the first answer after PostgreSQL was back", answered)
    await asyncio.gather(*(talker.answered(post) for talker, post in asked + meanwhile), reading)
    poller.stop()
    statuses = Counter(status for _, status, _ in poller.answers)
    stage.require(statuses.keys() <= {200, 503}, f"answers were {dict(statuses)}")
    stage.require(all(patient for *_, patient in poller.answers), "a 503 without Retry-After")
    stage.require(not any(talker.closes for talker in talkers), "a socket was closed")
    late = sum(status != 200 for _, status, _ in poller.since(up + stage.recovered_in))
    stage.note(f"{statuses[503]} answers were 503, {late} of them after the first 200")


@scenario("F5b", own=True)
async def half_open(stage: Stage) -> None:
    """The network to PostgreSQL takes everything and delivers nothing for 20 seconds."""
    postgresql = await own_postgresql(stage)
    proxy = await stage.closing.enter_async_context(Proxy(postgresql.port))
    url = postgresql.new_database()
    cluster = stage.cluster = Cluster(stage.folder, Database(url), stage.model)
    server = cluster.add_replica(database_url=url.replace(f":{postgresql.port}/", f":{proxy.port}/"))
    await cluster.start()
    acme = await stage.new_actor()
    chats = await new_chats(stage.database, acme, 10)
    talkers = [stage.talker(f"t{n}", acme, chat) for n, chat in enumerate(chats)]
    await all_ready(talkers)
    asked = [(talker, await talker.post(lasting(4))) for talker in talkers]
    for talker in talkers:
        await talker.until(lambda talker=talker: talker.speaking, 30)
    poller = Poller(cluster.base, acme.tenant_key, chats[0])
    stage.closing.callback(poller.stop)
    await asyncio.sleep(0.5)
    before = threads(server)
    proxy.stall()
    began = time.monotonic()
    meanwhile = [(talker, await talker.post(message())) for talker in talkers]
    async with httpx.AsyncClient(**HTTP, base_url=server.http) as http:

        async def unready() -> bool:
            return (await http.get("/readyz")).status_code == 503

        pulse = Pulse(server.http)
        stage.closing.callback(pulse.stop)
        told = await stage.within(3 * 10, "readiness is 503", unready)
        await asyncio.sleep(max(0.0, began + 20 - time.monotonic()))
        lag = pulse.stop()
        stage.require(pulse.statuses == {200}, f"liveness was {pulse.statuses}")
        stage.require(threads(server) <= before + THREADS, f"{threads(server)} threads, {before} before")
        proxy.release()

        async def ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        stage.recovered_in = await stage.within(3 * 5, "readiness is 200 again", ready)
    await asyncio.gather(*(talker.answered(post) for talker, post in asked + meanwhile))
    poller.stop()
    statuses = Counter(status for _, status, _ in poller.answers)
    stage.require(statuses.keys() <= {200, 503}, f"answers were {dict(statuses)}")
    with psycopg.connect(url) as connection:
        [idle] = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            " AND now() - state_change > interval '5 seconds'"
        ).fetchone() or [0]
    stage.require(idle == 0, f"{idle} connections idle in a transaction")
    stage.note(f"503 after {told:.1f} s; {lag}")


def threads(server: Replica) -> int:
    assert server.process is not None
    return len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))
