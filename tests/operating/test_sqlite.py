"""SQLite does what it was told, a full disk costs nothing that was acknowledged, and its owner alone reads the file."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from django.db import connections

from core.db.executor import in_thread
from core.db.sqlite3.base import make_private
from lexicon import data_checks
from tests.faults.test_killed import all_said, history
from tests.support.actors import Actor
from tests.support.client import eventually, script
from tests.support.forkserver import ROOT
from tests.support.servers import Server


def test_what_sqlite_was_told_is_read_back(db: None) -> None:
    assert data_checks.sqlite_pragmas(databases=["default"]) == []


def test_a_commit_that_a_power_cut_may_take_is_refused(transactional_db: None) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA synchronous=NORMAL")
    [message] = data_checks.sqlite_pragmas(databases=["default"])
    connections["default"].close()
    assert message.id == "lexicon.E016"
    assert "synchronous is 1" in message.msg
    assert message.hint


class Disk:
    """The disk of a server, which can be full for it: no file of its may grow, or be written beyond its first pages."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self._pid = server.process.pid

    def fill(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (16 * 1024, resource.RLIM_INFINITY))

    def free(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(
    acme: Actor, new_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    await socket.say(script(say="Before"))
    before = await history(acme, chat)
    disk = Disk(server)

    disk.fill()

    async def refused() -> httpx.Response | None:
        answer = await in_thread(acme.rest, "POST", "/", json={"user_id": "alice"})
        return answer if answer.status_code == 503 else None

    answer = await eventually(refused)
    assert answer.json()["error_code"] == "SERVICE_UNAVAILABLE"
    assert answer.headers["Retry-After"]
    await socket.send({"content": script(say="Lost"), "client_message_id": "again"})
    assert (await socket.until("error"))["error_code"] == "SERVICE_UNAVAILABLE"
    assert not socket.of_type("message_received")[1:]
    assert await history(acme, chat) == before

    disk.free()

    async def taken() -> bool:
        await socket.send({"content": script(say="After"), "client_message_id": "again"})
        return (await socket.next())["event_type"] == "message_received"

    await eventually(taken)
    messages = await all_said(acme, chat, 4)
    assert messages[:2] == before
    assert [message["sequence"] for message in messages] == [1, 2, 3, 4]
    assert messages[3]["content"] == "After"
    await socket.close()


# --- Who may read it ---


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in sorted(folder.iterdir()) if path.is_file()}


def manage(database: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A command on this SQLite file, of a user whose umask hides nothing."""
    own = {"DJANGO_SETTINGS_MODULE": "lexicon.settings", "DATABASE_URL": f"sqlite:///{database}", "REDIS_URL": ""}
    env = {**os.environ, "SECRET_KEY": "x" * 50, **own}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, umask=0, check=True, capture_output=True
    )


@pytest.mark.once
def test_a_database_is_its_owners_alone_from_its_creation_on(tmp_path: Path) -> None:
    manage(tmp_path / "db.sqlite3", "migrate", "--verbosity=0")
    assert modes(tmp_path) == {"db.sqlite3": 0o600}


@pytest.mark.once
def test_a_file_behind_a_link_is_private_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "db.sqlite3").symlink_to(tmp_path / "data" / "real.sqlite3")
    manage(tmp_path / "db.sqlite3", "migrate", "--verbosity=0")
    assert modes(tmp_path / "data") == {"real.sqlite3": 0o600}


@pytest.mark.once
def test_a_database_that_anybody_may_read_is_made_private_with_its_log(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE word (word TEXT)")
        other.execute("BEGIN IMMEDIATE")
        for name in modes(tmp_path):
            (tmp_path / name).chmod(0o644)
        assert list(modes(tmp_path)) == ["db.sqlite3", "db.sqlite3-shm", "db.sqlite3-wal"]
        make_private(str(path))
        assert set(modes(tmp_path).values()) == {0o600}
        # The other's lock still holds: nothing here closed a descriptor of the file.
        with (
            closing(sqlite3.connect(path, timeout=0)) as third,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            third.execute("BEGIN IMMEDIATE")


@pytest.mark.parametrize("name", [":memory:", "file:memory?mode=memory&cache=shared"])
def test_a_database_in_memory_is_no_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_private(name)
    assert modes(tmp_path) == {}


def test_in_a_folder_that_is_not_there_sqlite_says_so(tmp_path: Path) -> None:
    make_private(str(tmp_path / "none" / "db.sqlite3"))
    assert list(tmp_path.iterdir()) == []
