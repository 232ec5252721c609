"""What is put under load: replicas behind nginx on PostgreSQL and Redis, or one process on SQLite.

Real programs, all of the campaign's own; timers are shortened. Nothing is left running.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.campaign.database import Database
from tests.cluster.conftest import OwnRedis
from tests.shipping import nginx
from tests.support.actors import UNLIMITED, Actor
from tests.support.model_server import run_in_process
from tests.support.servers import Server

LEASE = 3.0
DRAIN = 3.0
#: The shortened timers, in seconds; beat, sweep and margin follow from the lease.
TIMERS = {
    "LEASE_SECONDS": str(LEASE),
    "DRAIN_SECONDS": str(DRAIN),
    "SLOW_READER_SECONDS": "3",
    "PING_SECONDS": "1",
    "STATEMENT_SECONDS": "2",
}
#: Every client here has one address: what nginx allows each is not what is tested.
ROOMY = {"rate=50r/s": "rate=1000r/s", "75s": "75s"}


class Replica(Server):
    """A server, with a bug from tests/campaign/sabotage.py where one is named."""

    forked = True
    bug = ""

    @property
    def command(self) -> list[str]:
        return ["-m", "tests.campaign.sabotage", self.bug] if self.bug else super().command

    @property
    def process_id(self) -> str:
        """What the database calls it."""
        return re.findall(r"process ([0-9a-f-]{36}) started", self.log.read_text())[-1]

    @property
    def errors(self) -> list[str]:
        """What it logged as an error."""
        grave = ('"level":"ERROR"', '"level":"CRITICAL"')
        lines = [line for line in self.log.read_text().splitlines() if any(level in line for level in grave)]
        return [str(json.loads(line)["message"]) for line in lines]


class Model:
    """The scripted model, in a process of its own."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._control = base_url.removesuffix("/v1")

    async def release(self, name: str) -> None:
        async with httpx.AsyncClient(verify=False) as http:
            await http.post(f"{self._control}/release/{name}")

    async def report(self) -> dict[str, Any]:
        """What it was asked since it was last told to forget."""
        async with httpx.AsyncClient(verify=False, timeout=30) as http:
            return dict((await http.get(f"{self._control}/calls")).json())

    async def forget(self) -> None:
        async with httpx.AsyncClient(verify=False) as http:
            await http.post(f"{self._control}/reset")


class Cluster:
    """Some replicas that share a database, and a Redis and an nginx where they are several."""

    def __init__(self, folder: Path, database: Database, model: Model) -> None:
        self.folder = folder
        self.database = database
        self.model = model
        self.replicas: list[Replica] = []
        self.redis: OwnRedis | None = None
        self.nginx: nginx.Nginx | None = None
        self._gate = folder / "gate"
        self._stack = ExitStack()

    def add_replica(self, *, bug: str = "", kind: type[Replica] = Replica, **env: str) -> Replica:
        given = {"database_url": self.database.url, "REDIS_URL": self.redis.url if self.redis else "", **env}
        replica = kind(
            log=self.folder / f"replica-{len(self.replicas)}.log",
            OPENAI_BASE_URL=self.model.base_url,
            OPENAI_API_KEY="key-of-the-tests",
            TRUSTED_PROXIES="127.0.0.1",
            SABOTAGE_GATE=str(self._gate),
            **{**TIMERS, **given},
        )
        replica.bug = bug
        self.replicas.append(replica)
        self._stack.callback(replica.close)
        return replica

    async def start(self) -> Cluster:
        """All replicas, at the same time."""
        for replica in self.replicas:
            replica.start(wait=False)
        await asyncio.gather(*(asyncio.to_thread(replica.wait_ready) for replica in self.replicas))
        return self

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold up what a seeded bug does too late; a server without one knows nothing of it."""
        self._gate.touch()
        try:
            yield
        finally:
            self._gate.unlink()

    async def repair(self) -> None:
        """Start again what a scenario killed."""
        if self.redis is not None and self.redis.process is not None and self.redis.process.poll() is not None:
            await asyncio.to_thread(self.redis.start)
        for replica in self.replicas:
            if replica.process is None or replica.process.poll() is not None:
                await asyncio.to_thread(replica.start)

    def with_redis(self) -> Cluster:
        self.redis = OwnRedis(self.folder)
        self.redis.start()
        self._stack.callback(self.redis.close)
        return self

    def with_nginx(self, **changes: str) -> Cluster:
        # One replica alone is both that nginx knows of.
        ports = (self.replicas[0].port, self.replicas[-1].port)
        self.nginx = self._stack.enter_context(nginx.running(ports, **{**ROOMY, **changes}))
        return self

    @property
    def base(self) -> str:
        return self.nginx.http if self.nginx else self.replicas[0].http

    @property
    def sockets(self) -> list[str]:
        """The addresses of each replica for WebSockets, past nginx."""
        return [replica.ws for replica in self.replicas]

    async def new_actor(self, name: str = "Acme", **policy: Any) -> Actor:
        return await self.database.new_actor(name, base=self.base, **{**UNLIMITED, "queue_depth": 250, **policy})

    def close(self) -> None:
        self._stack.close()


def start_model(stack: ExitStack, folder: Path) -> Model:
    return Model(stack.enter_context(run_in_process(folder / "model.log")))
