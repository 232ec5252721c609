"""Each test here has a database and servers of its own, which it may kill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections

from tests.support.actors import Actor, new_actor
from tests.support.client import Socket
from tests.support.servers import Server

#: A short lease: what waits for one waits seconds, not tens of them. Beat, sweep and margin follow from it.
LEASE = "2"


@pytest.fixture(autouse=True)
async def closed_sockets() -> AsyncIterator[None]:
    """Sockets that a test leaves open are closed in its own event loop."""
    yield
    await Socket.close_all()


@pytest.fixture
def new_server(own_database: str, model_server: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers on this test's database: `new_server()`, started; the same port again with `port=`.

    What else is given are environment variables.
    """
    servers: list[Server] = []

    def make(**env: str) -> Server:
        port = int(env.pop("port", "0")) or None
        given = {
            "LEASE_SECONDS": LEASE,
            "OPENAI_BASE_URL": model_server,
            "OPENAI_API_KEY": "key-of-the-tests",
            "database_url": own_database,
            **env,
        }
        server = Server(log=tmp_path / f"server-{len(servers)}.log", port=port, **given)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def on_own_database(own_database: str, django_db_blocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # type: ignore[no-untyped-def]
    """Point this process's ORM at the test's own database, in every thread."""
    import dj_database_url

    parsed = dj_database_url.parse(own_database)
    with django_db_blocker.unblock():
        connections.close_all()
        for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT"):
            monkeypatch.setitem(connections.settings["default"], name, parsed[name])
        yield
        connections.close_all()


@pytest.fixture
def acme(on_own_database: None) -> Actor:
    """Acme, on this test's own database; point `base` at a server before use."""
    return new_actor("Acme", model="openai:test")
