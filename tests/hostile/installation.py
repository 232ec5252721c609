"""What is attacked: one process on SQLite or two with PostgreSQL and Redis, as they are or behind the shipped nginx."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from tests.campaign.cluster import Cluster, Model, Replica
from tests.campaign.database import Databases
from tests.hostile.watch import Watched
from tests.shipping import nginx

#: The shortened timers, beside those of the fault suite. A setting that an attack waits for is added here.
TIMERS = {
    # As in production: what is slow under an attack must not be cut by it.
    "STATEMENT_SECONDS": "5",
    # How long a head may take, and how long a body may be silent.
    "HEAD_SECONDS": "3",
    "BODY_SECONDS": "3",
}
#: The bounds of an address as they are by default: each attacker has one of its own.
BOUNDS = {
    "STRANGERS_PER_MINUTE": "600",
    "VISITORS_PER_HOUR": "60",
    "VISITOR_MESSAGES_PER_MINUTE": "60",
    "VISITOR_CONNECTIONS": "20",
}
#: What nginx waits for, shortened alike. Its files are read for how long that is.
NGINX_TIMERS = {"client_header_timeout": "3s", "client_body_timeout": "3s"}


class Limited(Replica):
    """A server that may open few files."""

    @property
    def command(self) -> list[str]:
        return ["-m", "tests.hostile.limited", self.env["FILES"]]


class Installation:
    """One installation, with everybody of tests/hostile/cast.py in it."""

    def __init__(
        self, site: str, folder: Path, databases: Databases, model: Model, cast: dict[str, Any], *, files: int = 0
    ) -> None:
        self.site = site
        self.cast = cast
        self._folder = folder
        self._files = files
        self._temporary = folder / "temporary"
        self._databases = databases
        self._model = model
        self._cluster: Cluster | None = None

    async def start(self) -> Installation:
        self._folder.mkdir(parents=True)
        self._folder.chmod(0o755)
        self._temporary.mkdir()
        on_sqlite = self.site.startswith("sqlite")
        database = await asyncio.to_thread(self._databases.new, on_sqlite=on_sqlite)
        cluster = self._cluster = Cluster(self._folder, database, self._model)
        if not on_sqlite:
            cluster.with_redis()
        for _ in range(1 if on_sqlite else 2):
            cluster.add_replica(
                kind=Limited if self._files else Replica,
                FILES=str(self._files),
                CHAT_PAGE_TENANT=self.cast["acme"]["id"],
                OUTBOUND_ALLOW="127.0.0.0/8",
                TMPDIR=str(self._temporary),
                **TIMERS,
                **BOUNDS,
            )
        await cluster.start()
        if self.is_behind_nginx:
            cluster.with_nginx(**_as_shipped())
        return self

    @property
    def is_behind_nginx(self) -> bool:
        return self.site.endswith("nginx")

    @property
    def cluster(self) -> Cluster:
        assert self._cluster is not None
        return self._cluster

    @property
    def ports(self) -> list[int]:
        """Where a stranger comes in."""
        if self.cluster.nginx is not None:
            return [self.cluster.nginx.port]
        return [replica.port for replica in self.cluster.replicas]

    @property
    def watched(self) -> Watched:
        """What bystanders ask: each process by itself, and where there is an nginx that as well."""
        replicas = self.cluster.replicas
        ports = sorted({*self.ports, *(replica.port for replica in replicas)})
        pids = [replica.process.pid for replica in replicas if replica.process is not None]
        return Watched(ports, self.cast["globex"]["tenant_key"], pids, str(self._temporary))

    @property
    def is_alive(self) -> bool:
        """Whether no process has ended."""
        return all(each.process is not None and each.process.poll() is None for each in self.cluster.replicas)

    @property
    def errors(self) -> list[str]:
        """What the processes logged as errors, each once."""
        return sorted({error for replica in self.cluster.replicas for error in replica.errors})

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.close()


def _as_shipped() -> dict[str, str]:
    """The changes to nginx's files: the limits are as shipped, only what is waited for is shorter."""
    shipped = "".join(path.read_text() for path in nginx.FILES.glob("*.conf"))
    changes = {name: name for name in ("rate=50r/s", "burst=1000")}
    for name, seconds in NGINX_TIMERS.items():
        if (found := re.search(rf"{name} \w+;", shipped)) is not None:
            changes[found[0]] = f"{name} {seconds};"
    return changes
