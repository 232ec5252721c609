"""nginx in front of real replicas: two on PostgreSQL; on SQLite one, beside an address where nobody is."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tenants.models import Tenant
from tests import settings as test_settings
from tests.cluster.conftest import OwnRedis
from tests.conftest import _administer, database_url
from tests.shipping import nginx
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.support.forkserver import run_python
from tests.support.servers import Server, free_port
from tests.web.tools import need

UNLIMITED = ("--rest-per-minute=100000", "--ws-messages-per-second=10000", "--ws-connections=10000")


class Replica(Server):
    """A server whose WebSockets are pinged every second, and which believes nginx."""

    @property
    def command(self) -> list[str]:
        return ["-m", "tests.shipping.replica"]


@contextmanager
def database(pristine: str, folder: Path) -> Iterator[str]:
    """The address of an empty, migrated database."""
    if test_settings.ON_SQLITE:
        shutil.copy(pristine, folder / "cluster.sqlite3")
        yield database_url(str(folder / "cluster.sqlite3"))
    else:
        name = f"{pristine}_{uuid.uuid4().hex[:8]}"
        _administer(f'CREATE DATABASE "{name}" TEMPLATE "{pristine}"')
        yield database_url(name)
        _administer(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def shared_redis(folder: Path) -> Iterator[dict[str, str]]:
    """What the environment of a replica says of Redis."""
    if test_settings.ON_SQLITE:
        yield {}
        return
    need("redis-server", shutil.which("redis-server"))
    redis = OwnRedis(folder)
    redis.start()
    yield {"REDIS_URL": redis.url}
    redis.close()


@dataclass
class Cluster:
    """What a client reaches through nginx."""

    nginx: nginx.Nginx
    secure: nginx.Nginx
    replicas: list[Replica]
    acme: Actor

    def logged(self, mark: str) -> list[dict[str, Any]]:
        """The lines of the replicas' logs that hold `mark`."""
        lines = [line for replica in self.replicas for line in replica.log.read_text().splitlines()]
        return [json.loads(line) for line in lines if mark in line]


@pytest.fixture(scope="module")
def cluster(pristine: str, model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        address = stack.enter_context(database(pristine, folder))
        shared = stack.enter_context(shared_redis(folder))
        replicas = []
        for number in range(1 if test_settings.ON_SQLITE else 2):
            replica = Replica(
                database_url=address,
                log=folder / f"replica-{number}.log",
                LOG_FORMAT="json",
                LEASE_SECONDS="2",
                PING_SECONDS="1",
                PUBLIC_URL="https://127.0.0.1",
                TRUSTED_PROXIES="127.0.0.1",
                OPENAI_BASE_URL=model_server,
                OPENAI_API_KEY="key-of-the-tests",
                **shared,
            )
            stack.callback(replica.close)
            replicas.append(replica.start())
        ports = (replicas[0].port, replicas[-1].port if len(replicas) == 2 else free_port())
        plain = stack.enter_context(nginx.running(ports))
        secure = stack.enter_context(nginx.running(ports, site="https"))
        yield Cluster(plain, secure, replicas, new_tenant(address, base=plain.http))


def new_tenant(address: str, *, base: str) -> Actor:
    """A tenant that the operator made."""
    env = {"PATH": os.environ["PATH"], "SECRET_KEY": "only-for-tests-" + "x" * 50, "DATABASE_URL": address}
    done = run_python(["manage.py", "create_tenant", "Acme", "--json", "--model=openai:test", *UNLIMITED], env=env)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    tenant = cast("Tenant", SimpleNamespace(id=uuid.UUID(made["tenant_id"])))
    return Actor(tenant, made["api_key"], made["customer_key"], base)


@pytest.fixture(autouse=True)
async def closed_sockets() -> AsyncIterator[None]:
    """Sockets that a test leaves open are closed in its own event loop."""
    yield
    await Socket.close_all()
