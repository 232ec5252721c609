"""A backup that is taken while people talk has everything acknowledged before it, and the service starts on it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from core.db.executor import in_thread
from lexicon.backup import BackupError, back_up, libpq_environment
from tests import settings as test_settings
from tests.faults.test_killed import history
from tests.support.actors import Actor
from tests.support.client import eventually, script
from tests.support.forkserver import run_python
from tests.support.servers import ROOT, Server

NewServer = Callable[..., Server]


def backup(database_url: str, target: Path) -> subprocess.CompletedProcess[str]:
    """`manage.py backup`."""
    env = {"PATH": os.environ["PATH"], "SECRET_KEY": "x" * 50, "DATABASE_URL": database_url}
    return run_python(["manage.py", "backup", str(target)], env=env)


def restore(database_url: str, backup: Path) -> None:
    """What docs/operations.md tells to do; a test of its own holds the two together."""
    if test_settings.ON_SQLITE:
        database = Path(database_url.removeprefix("sqlite:///"))
        for left in ("-wal", "-shm"):
            database.with_name(database.name + left).unlink(missing_ok=True)
        shutil.copy(backup, database)
    else:
        command = ["pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error"]
        subprocess.run([*command, f"--dbname={database_url}", str(backup)], check=True)


class Writer:
    """Somebody who goes on saying something new in a chat, and knows what was acknowledged."""

    def __init__(self, acme: Actor) -> None:
        self._acme = acme
        self.acknowledged: list[str] = []

    async def write(self) -> None:
        self.chat = await in_thread(self._acme.new_chat)
        socket = await self._acme.join(self.chat)
        for number in count():
            await socket.say(script(say=f"Answer {number}"))
            self.acknowledged.append(socket.of_type("message_received")[-1]["message_id"])


async def test_a_backup_under_load_has_all_that_was_acknowledged_before_it(
    acme: Actor, new_server: NewServer, own_database: str, tmp_path: Path
) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    writers = [Writer(acme) for _ in range(4)]
    writing = [asyncio.create_task(writer.write()) for writer in writers]

    async def all_busy() -> bool:
        assert not any(task.done() for task in writing)
        return all(len(writer.acknowledged) >= 3 for writer in writers)

    await eventually(all_busy)
    acknowledged = [set(writer.acknowledged) for writer in writers]
    done = await asyncio.to_thread(backup, own_database, tmp_path / "backup")
    assert done.returncode == 0, done.stderr
    assert not any(task.done() for task in writing)
    for task in writing:
        task.cancel()
    await asyncio.gather(*writing, return_exceptions=True)
    await asyncio.to_thread(server.kill)

    await asyncio.to_thread(restore, own_database, tmp_path / "backup")
    server = await in_thread(new_server)
    acme.base = server.http
    for writer, ids in zip(writers, acknowledged, strict=True):
        messages = await history(acme, writer.chat)
        assert ids <= {message["id"] for message in messages}
        assert [message["sequence"] for message in messages] == list(range(1, len(messages) + 1))
    async with await acme.join(writers[0].chat) as socket:
        assert (await socket.say(script(say="It goes on")))["content"] == "It goes on"


def test_only_its_owner_can_read_it(own_database: str, tmp_path: Path) -> None:
    assert backup(own_database, tmp_path / "backup").returncode == 0
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.glob("backup*")] == ["backup"]


def test_what_an_earlier_one_left_behind_does_not_open_it(own_database: str, tmp_path: Path) -> None:
    (tmp_path / "backup.unfinished").write_text("half of it")
    (tmp_path / "backup.unfinished").chmod(0o644)
    assert backup(own_database, tmp_path / "backup").returncode == 0
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600


def test_it_never_replaces_another(own_database: str, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("yesterday's")
    done = backup(own_database, tmp_path / "backup")
    assert done.returncode == 1
    assert "Name a new file" in done.stderr
    assert (tmp_path / "backup").read_text() == "yesterday's"


def test_it_needs_a_folder_to_write_to(own_database: str, tmp_path: Path) -> None:
    done = backup(own_database, tmp_path / "nowhere" / "backup")
    assert done.returncode == 1
    assert "can not be written" in done.stderr


def test_a_database_that_is_not_there_leaves_no_file(tmp_path: Path) -> None:
    done = backup(f"sqlite:///{tmp_path}/none.sqlite3", tmp_path / "backup")
    assert "There is no database" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_is_no_backup(tmp_path: Path) -> None:
    damaged = tmp_path / "db.sqlite3"
    with closed(damaged) as database:
        database.execute("CREATE TABLE word (word TEXT UNIQUE)")
        database.executemany("INSERT INTO word VALUES (?)", [(str(number) * 50,) for number in range(500)])
        database.commit()
    content = bytearray(damaged.read_bytes())
    content[8192:12288] = os.urandom(4096)
    damaged.write_bytes(content)
    with pytest.raises(BackupError, match=r"damaged|malformed"):
        back_up(database={"ENGINE": "django.db.backends.sqlite3", "NAME": str(damaged)}, target=tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@contextmanager
def closed(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        yield connection
    finally:
        connection.close()


def test_without_pg_dump_it_says_which_command_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "lexicon",
        "USER": "lex",
        "PASSWORD": "not-told",
        "HOST": "db.internal",
        "PORT": 5433,
    }
    with pytest.raises(BackupError) as failed:
        back_up(database=database, target=tmp_path / "backup")
    assert "pg_dump --format=custom" in str(failed.value)
    assert "--host=db.internal --port=5433 --username=lex --dbname=lexicon" in str(failed.value)
    assert f"--file={tmp_path}/backup " in str(failed.value)
    assert "not-told" not in str(failed.value)


def test_how_tls_is_used_goes_with_the_address() -> None:
    program = "import json, lexicon.settings as s; print(json.dumps(s.DATABASES['default'], default=str))"
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SECRET_KEY": "x" * 50,
            "DATABASE_URL": "postgres://lex:secret@db.internal/lexicon?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        },
        capture_output=True,
        text=True,
    )
    assert libpq_environment(json.loads(told.stdout)) == {
        "PGPASSWORD": "secret",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/etc/ca.pem",
    }
