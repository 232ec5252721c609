"""Each test here has processes, a database and a Redis of its own, any of which it may kill."""

from __future__ import annotations

import gc
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis
from django.db import OperationalError, connection, transaction

from tests import settings as test_settings
from tests.faults.conftest import acme, new_server, on_own_database
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.support.servers import Server, free_port

__all__ = ["acme", "new_server", "on_own_database"]

#: Several processes need PostgreSQL; wake-ups and texts need no database.
collect_ignore = ["test_live.py", "test_redis.py"] if test_settings.ON_SQLITE else []


class OwnRedis:
    """A Redis that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        with (self._folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        until = time.monotonic() + 15
        while time.monotonic() < until:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)
        raise AssertionError((self._folder / "redis.log").read_text())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def pause(self) -> None:
        """It answers nobody, and refuses nobody."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


def fall_asleep(server: Server) -> None:
    """Stop a process between two transactions: one that sleeps within one would hold SQLite's only lock."""
    for _ in range(100):
        server.signal(signal.SIGSTOP)
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("UPDATE chats_process SET started_at = started_at")
            return
        except OperationalError:
            server.signal(signal.SIGCONT)
    raise AssertionError("the process never sleeps outside of a transaction")


@pytest.fixture(autouse=True)
async def closed_sockets() -> AsyncIterator[None]:
    """Sockets that a test leaves open are closed in its own event loop."""
    yield
    await Socket.close_all()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    own = OwnRedis(tmp_path)
    own.start()
    yield own
    own.close()
    # Libraries leave a connection that they lost to the garbage: nothing of it is left for the tests that follow.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def new_process(new_server: Callable[..., Server], own_redis: OwnRedis) -> Callable[..., Server]:
    """Makes processes that share this test's database and Redis."""
    return lambda **env: new_server(REDIS_URL=own_redis.url, **env)


@pytest.fixture
def pair(new_process: Callable[..., Server], acme: Actor) -> tuple[Server, Server]:
    """Two processes; Acme talks to the first."""
    first, second = new_process(), new_process()
    acme.base = first.http
    return first, second
