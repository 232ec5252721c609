"""Are the data where they are safe, and shared as the processes need it?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import InterfaceError, OperationalError, connections

#: Types of file systems, as /proc/mounts calls them, on which SQLite's locks and shared memory do not hold
#: (https://sqlite.org/wal.html, section 1, and https://sqlite.org/howtocorrupt.html, section 2.1).
_NETWORK = ("nfs", "cifs", "smb", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.gluster", "lustre", "9p", "ncpfs")

Found = Iterable[checks.CheckMessage]


def processes() -> Found:
    """E004 and E005."""
    count = settings.WEB_CONCURRENCY
    if count > 1 and not settings.REDIS_URL:
        yield checks.Error(
            f"WEB_CONCURRENCY is {count}, but REDIS_URL is not set: the processes could not tell each other what is "
            "being said.",
            hint="Set REDIS_URL, or serve with one process.",
            id="lexicon.E004",
        )
    if count > 1 and engine_name() == "sqlite3":
        yield checks.Error(
            f"WEB_CONCURRENCY is {count}, but the database is SQLite, where writers wait for each other.",
            hint="Move to PostgreSQL (manage.py move_to_postgres), or serve with one process.",
            id="lexicon.E005",
        )


def redis_with_sqlite() -> Found:
    """W006."""
    if settings.REDIS_URL and engine_name() == "sqlite3":
        yield checks.Warning(
            "REDIS_URL is set, but the database is SQLite, which one process serves alone.",
            hint="Leave REDIS_URL out, or move to PostgreSQL (manage.py move_to_postgres).",
            id="lexicon.W006",
        )


def database() -> Found:
    """E015 and E007."""
    engine = engine_name()
    if engine not in ("sqlite3", "postgresql"):
        yield checks.Error(
            f"DATABASE_URL names {engine}, on which nothing here was ever tried.",
            hint="Use sqlite:////absolute/path or postgres://user:password@host:5432/name.",
            id="lexicon.E015",
        )
    if engine == "sqlite3":
        kind = file_system(Path(settings.DATABASES["default"]["NAME"]))
        if kind.startswith(_NETWORK):
            yield checks.Error(
                f"The SQLite file lies on a network file system ({kind}), where its locks do not hold.",
                hint="Put it on a disk of this machine, or move to PostgreSQL (manage.py move_to_postgres).",
                id="lexicon.E007",
            )


def sqlite_pragmas(databases: Iterable[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E016: what SQLite was told is read back. A database that does not answer is `/readyz`'s to tell."""
    if engine_name() != "sqlite3" or "default" not in (databases or ()):
        return []
    try:
        with connections["default"].cursor() as cursor:
            journal, sync = (
                cursor.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in ("journal_mode", "synchronous")
            )
    except (OperationalError, InterfaceError):
        return []
    # https://sqlite.org/pragma.html#pragma_synchronous: 2 is FULL.
    if (journal, sync) == ("wal", 2):
        return []
    return [
        checks.Error(
            f"SQLite did not take its settings: journal_mode is {journal}, synchronous is {sync}, not wal and 2.",
            hint="Put the file on a disk of this machine, where its folder can be written to.",
            id="lexicon.E016",
        )
    ]


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`, as /proc/mounts says it; "" where nobody does."""
    try:
        mounts = [line.split(" ")[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    path = path.resolve()
    holding = [(len(where), kind) for where, kind in mounts if path.is_relative_to(where.replace("\\040", " "))]
    # Of two mounts on one place the later one is seen.
    return max(reversed(holding), key=lambda found: found[0], default=(0, ""))[1]


def engine_name() -> str:
    """The database's backend: "sqlite3" or "postgresql", or what nobody tried."""
    return settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
