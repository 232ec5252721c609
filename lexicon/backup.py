"""How is the database copied to a file while the service runs?

SQLite by its own online backup; PostgreSQL by pg_dump, which must be of the server's version or newer. The file is
there whole, under its name, or not at all, and only its owner can read it: it holds every message.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class BackupError(Exception):
    """There is no backup. The message says why and what to do."""


def back_up(*, database: Mapping[str, Any], target: Path) -> int:
    """Write the database, as Django's DATABASES describes it, to a new file; its length in bytes.

    Raises BackupError.
    """
    if target.exists():
        raise BackupError(f"{target} exists. Name a new file: a backup never replaces another.")
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        # One that was left behind may be anybody's to read.
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise BackupError(f"{target} can not be written: {error.strerror}.") from error
    try:
        if database["ENGINE"].endswith("sqlite3"):
            _copy_sqlite(Path(database["NAME"]), unfinished)
        else:
            _dump_postgresql(database, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target.stat().st_size


def _copy_sqlite(source: Path, target: Path) -> None:
    if not source.exists():
        raise BackupError(f"There is no database at {source}. DATABASE_URL says where it is.")
    try:
        # All pages in one step: one read transaction, so one moment; in WAL mode no writer waits for it.
        with _opened(source) as database, _opened(target) as copy:
            database.backup(copy)
            # Read back, because a backup that nobody checked is a hope.
            answer = copy.execute("PRAGMA integrity_check").fetchone()[0]
            # One file, without its log beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise BackupError(f"The backup failed: {error}.") from error
    if answer != "ok":
        raise BackupError(f"The copy is damaged, and so may be the database: {answer}.")


class _opened:
    """A connection that is closed at the end; sqlite3's own `with` only ends a transaction."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=5)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *exc: object) -> None:
        self._connection.close()


def pg_dump_command(database: Mapping[str, Any], target: Path) -> list[str]:
    """The command that dumps a PostgreSQL database; the password is not in it but in PGPASSWORD."""
    named = {"--host": "HOST", "--port": "PORT", "--username": "USER", "--dbname": "NAME"}
    options = [f"{option}={database[key]}" for option, key in named.items() if database.get(key)]
    return ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}", *options]


def libpq_environment(database: Mapping[str, Any]) -> dict[str, str]:
    """What of a connection does not belong on a command line, as libpq reads it: the password, and how TLS is used.

    https://www.postgresql.org/docs/current/libpq-envars.html
    """
    options = {name: value for name, value in database.get("OPTIONS", {}).items() if name.startswith("ssl")}
    given = {"password": database.get("PASSWORD"), **options}
    return {f"PG{name.upper()}": str(value) for name, value in given.items() if value}


def _dump_postgresql(database: Mapping[str, Any], target: Path) -> None:
    command = pg_dump_command(database, target)
    if shutil.which("pg_dump") is None:
        by_hand = shlex.join(pg_dump_command(database, target.with_suffix("")))
        raise BackupError(f"pg_dump is not installed here. Where it is, run: {by_hand}")
    environment = {**os.environ, **libpq_environment(database)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BackupError(f"pg_dump failed: {done.stderr.strip()}")
