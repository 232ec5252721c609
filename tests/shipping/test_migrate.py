"""`manage.py migrate` is a step of its own, and may be started twice at once."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from lexicon.management.commands.migrate import LOCK
from tests import settings as test_settings
from tests.conftest import _administer, database_url
from tests.support.servers import ROOT


@pytest.fixture
def empty_database(tmp_path: Path) -> Iterator[str]:
    """The address of a database in which there is nothing at all."""
    if test_settings.ON_SQLITE:
        yield database_url(str(tmp_path / "empty.sqlite3"))
        return
    name = f"test_lexicon_empty_{uuid.uuid4().hex}"
    _administer(f'CREATE DATABASE "{name}"')
    yield database_url(name)
    _administer(f'DROP DATABASE "{name}" WITH (FORCE)')


def manage(address: str, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SECRET_KEY": "only-for-tests-" + "x" * 50, "DATABASE_URL": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def migrating(address: str) -> Iterator[None]:
    """Hold what a process holds that migrates the database."""
    if test_settings.ON_SQLITE:
        folder = os.open(Path(address.removeprefix("sqlite:///")).parent, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.close(folder)
    else:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            yield


def test_two_that_start_at_once_both_end_well(empty_database: str) -> None:
    both = [manage(empty_database, "migrate", "--noinput") for _ in range(2)]
    told = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sorted("No migrations to apply" in out for out, _ in told) == [False, True], told
    check = manage(empty_database, "migrate", "--check")
    told_of_check = check.communicate(timeout=100)
    assert check.returncode == 0, told_of_check


def test_one_that_finds_another_at_work_says_so_and_waits(empty_database: str) -> None:
    with migrating(empty_database):
        waits = manage(empty_database, "migrate", "--noinput")
        assert waits.stderr is not None
        assert waits.stderr.readline() == "Another process is migrating this database: waiting for it.\n"
        assert waits.poll() is None
    out, _ = waits.communicate(timeout=100)
    assert waits.returncode == 0
    assert "Applying tenants.0001" in out
