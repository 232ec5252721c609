"""From SQLite to PostgreSQL: every row and every sequence is the same, or nothing is moved."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from core.db.executor import in_thread
from tenants.models import Tenant
from tests.conftest import _administer, database_url
from tests.support.actors import Actor
from tests.support.forkserver import run_python
from tests.support.servers import Server

Rows = dict[str, list[str]]


class Source:
    """A SQLite installation."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "source.sqlite3"
        self.server = Server(database_url=f"sqlite:///{self.path}", log=folder / "source.log")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return run_python(command, env={**self.server.env, "DJANGO_SETTINGS_MODULE": "lexicon.settings"})

    def move(self, target: str) -> subprocess.CompletedProcess[str]:
        return self.run("manage.py", "move_to_postgres", target)

    def actor(self) -> Actor:
        known = json.loads(self.path.with_name(self.path.name + ".secrets.json").read_text())
        return Actor(Tenant(id=uuid.UUID(known["TENANT_ID"])), known["TENANT_KEY"], known["CUSTOMER_KEY"])

    def change(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as database:
            database.execute(statement, values)
            database.commit()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """One with the demo, and a row in every table. Copied, not used."""
    source = Source(tmp_path_factory.mktemp("filled"))
    for command in (["manage.py", "demo", "--no-serve"], ["-m", "tests.operating.fill"]):
        done = source.run(*command)
        assert done.returncode == 0, done.stderr
    return source


@pytest.fixture
def source(filled: Source, tmp_path: Path) -> Iterator[Source]:
    for path in filled.path.parent.glob("source.sqlite3*"):
        shutil.copy(path, tmp_path)
    mine = Source(tmp_path)
    yield mine
    mine.server.close()


@pytest.fixture
def target() -> Iterator[str]:
    """The address of a database with nothing in it, not even tables."""
    name = f"moved_{uuid.uuid4().hex[:12]}"
    _administer(f'CREATE DATABASE "{name}"')
    yield database_url(name)
    _administer(f'DROP DATABASE "{name}" WITH (FORCE)')


def tables_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return sorted(name for (name,) in found if name != "django_migrations")


def alike(value: Any, other: Any) -> str:
    """What SQLite keeps, written as what PostgreSQL keeps of the same column."""
    if value is None:
        return "nothing"
    if isinstance(other, datetime):
        return datetime.fromisoformat(value).replace(tzinfo=UTC).isoformat()
    if isinstance(other, bool):
        return str(bool(value))
    return str(uuid.UUID(value)) if isinstance(other, uuid.UUID) else repr(value)


def plain(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, bool | uuid.UUID) else repr(value)


def both(source: Path, target: str) -> tuple[Rows, Rows]:
    """All rows of all tables of the two, column by column, read without the ORM."""
    ours, theirs = {}, {}
    with closing(sqlite3.connect(source)) as sqlite, psycopg.connect(target) as postgresql:
        for table in tables_of(source):
            columns = sorted(column[1] for column in sqlite.execute(f'PRAGMA table_info("{table}")'))
            query = sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
            )
            there = postgresql.execute(query).fetchall()
            named = ", ".join(f'"{column}"' for column in columns)
            here = sqlite.execute(f'SELECT {named} FROM "{table}"').fetchall()
            kinds = [next((row[i] for row in there if row[i] is not None), None) for i in range(len(columns))]
            ours[table] = sorted(str([alike(v, k) for v, k in zip(row, kinds, strict=True)]) for row in here)
            theirs[table] = sorted(str([plain(value) for value in row]) for row in there)
    return ours, theirs


def numbers(source: Path, target: str) -> tuple[dict[str, int], dict[str, int]]:
    """The number that each table would give to its next row: in the source, in the target."""
    with closing(sqlite3.connect(source)) as sqlite:
        ours = {name: last + 1 for name, last in sqlite.execute("SELECT name, seq FROM sqlite_sequence")}
    theirs = {}
    with psycopg.connect(target) as postgresql:
        for table in tables_of(source):
            found = postgresql.execute(
                "SELECT pg_get_serial_sequence(%s, column_name) FROM information_schema.columns "
                "WHERE table_name = %s AND is_identity = 'YES'",
                [f'"{table}"', table],
            ).fetchone()
            if found:
                last, called = postgresql.execute(f"SELECT last_value, is_called FROM {found[0]}").fetchone() or (0, 0)
                theirs[table] = last + bool(called)
    return {table: ours.get(table, 1) for table in theirs}, theirs


def rows_in(target: str) -> dict[str, int]:
    """The tables that have rows, but for those that `migrate` fills."""
    by_migrate = ("django_migrations", "django_content_type", "auth_permission")
    with psycopg.connect(target) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        counts = {
            name: connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
            for (name,) in tables
            if name not in by_migrate
        }
    return {name: count[0] for name, count in counts.items() if count and count[0]}


def test_every_row_and_every_sequence_is_the_same(source: Source, target: str) -> None:
    before = source.path.read_bytes()
    done = source.move(target)
    assert done.returncode == 0, done.stderr
    ours, theirs = both(source.path, target)
    assert all(ours.values()), "every table has a row"
    assert theirs == ours
    assert len(ours) > 20
    here, there = numbers(source.path, target)
    assert there == here
    assert here["tenants_creditentry"] > len(ours["tenants_creditentry"]) + 1
    assert f"{sum(map(len, ours.values())):,} rows moved" in done.stdout
    assert source.path.read_bytes() == before


async def test_the_service_goes_on_there(source: Source, target: str, tmp_path: Path) -> None:
    await in_thread(source.server.start)
    acme = source.actor()
    acme.base = source.server.http
    chat = await in_thread(acme.new_chat)
    async with await acme.join(chat) as socket:
        await socket.say("What are your business hours?")
    assert source.server.terminate() == 0
    assert (await in_thread(source.move, target)).returncode == 0

    moved = Server(database_url=target, log=tmp_path / "moved.log")
    try:
        await in_thread(moved.start)
        acme.base = moved.http
        history = (await in_thread(acme.rest, "GET", f"/{chat}/messages")).json()["messages"]
        assert [message["sequence"] for message in history] == [1, 2]
        async with await acme.join(chat) as socket:
            ended = await socket.say("And on Sunday?")
            assert ended["sequence"] == 4
            assert socket.of_type("message_received")[0]["sequence"] == 3
    finally:
        moved.close()


def test_a_target_that_is_not_empty_is_refused(source: Source, target: str) -> None:
    assert source.move(target).returncode == 0
    before = rows_in(target)
    done = source.move(target)
    assert done.returncode == 1
    assert "The target is not empty" in done.stderr
    assert rows_in(target) == before


def test_a_row_that_does_not_fit_moves_nothing_and_is_named(source: Source, target: str) -> None:
    source.change("UPDATE chats_chat SET title = ?", "x" * 300)
    done = source.move(target)
    assert done.returncode == 1
    assert "chats_chat" in done.stderr
    assert "title" in done.stderr
    assert rows_in(target) == {}
    source.change("UPDATE chats_chat SET title = 'short'")
    assert source.move(target).returncode == 0


def test_a_row_whose_reference_leads_nowhere_moves_nothing(source: Source, target: str) -> None:
    source.change("UPDATE chats_chat SET user_id = ?", uuid.uuid4().hex)
    done = source.move(target)
    assert done.returncode == 1
    assert "does not take a row" in done.stderr
    assert rows_in(target) == {}


def test_a_source_that_a_process_serves_from_is_refused(source: Source, target: str) -> None:
    source.server.start()
    done = source.move(target)
    assert done.returncode == 1
    assert "A process still serves" in done.stderr
    assert rows_in_nothing(target)


def rows_in_nothing(target: str) -> bool:
    """Whether not even a table was made."""
    with psycopg.connect(target) as connection:
        return connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchone() is None


def test_a_source_whose_migrations_are_missing_is_refused(source: Source, target: str) -> None:
    source.change("DELETE FROM django_migrations WHERE name = (SELECT max(name) FROM django_migrations)")
    done = source.move(target)
    assert done.returncode == 1
    assert "run manage.py migrate first" in done.stderr


def test_a_table_that_nobody_knows_is_refused(source: Source, target: str) -> None:
    source.change("CREATE TABLE notes (note TEXT)")
    done = source.move(target)
    assert done.returncode == 1
    assert "notes" in done.stderr
    assert rows_in_nothing(target)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgres://postgres@127.0.0.1:1/none", "does not answer"),
        ("mysql://somewhere/none", "no PostgreSQL"),
        ("nonsense", "Write it like postgres://"),
    ],
)
def test_an_address_that_leads_nowhere_is_named(source: Source, url: str, told: str) -> None:
    done = source.move(url)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
