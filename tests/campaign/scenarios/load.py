"""More is asked at once than can be answered soon."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx

from chats.models import Reply
from tests.campaign.callers import HTTP
from tests.campaign.cluster import Cluster
from tests.campaign.load import all_ready, message, new_chats
from tests.campaign.stage import Stage, scenario

SOCKETS, QUESTIONS = 500, 4
#: Fewer than there are sockets, each of which asks one thing at a time, so that some are refused whatever the machine.
ROOM = 250
#: How soon `/readyz` answers at any load, in seconds.
READY = 0.5


class Readiness:
    """Asks for `/readyz` all the time, from a thread of its own: the clients' event loop is busy, too."""

    def __init__(self, base: str) -> None:
        self.statuses: set[int] = set()
        self.slowest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(base,), daemon=True)
        self._thread.start()

    def _ask(self, base: str) -> None:
        with httpx.Client(**HTTP, base_url=base) as http:
            while not self._over.wait(0.05):
                began = time.monotonic()
                self.statuses.add(http.get("/readyz").status_code)
                self.slowest = max(self.slowest, time.monotonic() - began)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)


@scenario("F33", own=True)
async def asked_at_once(stage: Stage) -> None:
    """2,000 questions at once on one process: those beyond its bound are refused at once, and asked again."""
    stage.cluster = Cluster(stage.folder, stage.databases.new(on_sqlite=False), stage.model).with_redis()
    server = stage.cluster.add_replica(DATABASE_QUEUE=str(ROOM))
    await stage.cluster.start()
    acme = await stage.new_actor()
    chats = await new_chats(stage.database, acme, SOCKETS)
    talkers = [stage.talker(f"t{n}", acme, chat) for n, chat in enumerate(chats)]
    await all_ready(talkers)
    readiness = Readiness(server.http)
    stage.closing.callback(readiness.stop)
    began = time.monotonic()
    posts = [(talker, await talker.post(message())) for _ in range(QUESTIONS) for talker in talkers]
    await asyncio.gather(*(talker.answered(post, 120) for talker, post in posts))
    took = time.monotonic() - began
    await asyncio.to_thread(readiness.stop)
    lines = [line for line in stage.history.lines if line["op"] == "post" and line["phase"] == "fail"]
    refused = [line for line in lines if line["code"] == "SERVICE_UNAVAILABLE"]
    tries = await stage.database.run(
        lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("tries", flat=True))
    )
    stage.require(refused and len(refused) == len(lines), f"{len(refused)} of {len(lines)} refusals were for the load")
    stage.require(tries == [1] * len(posts), f"{len(tries)} replies, {sum(tries)} begun: a lease was lost")
    stage.require(readiness.statuses == {200}, f"/readyz was {readiness.statuses}")
    stage.require(readiness.slowest <= READY, f"/readyz took {readiness.slowest:.2f} s")
    stage.require(not any(talker.closes for talker in talkers), "a socket was closed")
    stage.note(
        f"{len(posts)} questions answered in {took:.1f} s, {len(refused)} times refused and asked again; "
        f"/readyz within {readiness.slowest * 1000:.0f} ms"
    )
