"""How are migrations run when two are started at once? One waits for the other, then finds nothing to do.

Django's own command races: both make the table of applied migrations, and one of them dies of it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.core.management.commands import migrate
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

#: "lexicon" in ASCII. Locks of this kind belong to one database, so other databases of the server are not concerned.
LOCK = int.from_bytes(b"lexicon", "big")
#: Seconds between two looks whether another process is done.
LOOK_SECONDS = 0.5
#: What a migration may wait for a table: statements that come after it wait behind it.
LOCK_TIMEOUT = "-c lock_timeout=5000"


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection: Any = connections[options["database"]]
        with ExitStack() as stack:
            if connection.vendor == "postgresql":
                stack.enter_context(_alone_on_postgresql(connection, self._say_waiting))
                stack.enter_context(_unhurried(connection))
            elif connection.vendor == "sqlite" and not connection.is_in_memory_db():
                stack.enter_context(_alone_on_sqlite(connection, self._say_waiting))
            super().handle(*args, **options)

    def _say_waiting(self) -> None:
        self.stderr.write("Another process is migrating this database: waiting for it.")


@contextmanager
def _alone_on_postgresql(connection: BaseDatabaseWrapper, say_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock of the server, on a connection of its own: it ends with that, whatever becomes of this process."""
    lock = connection.copy()
    lock.settings_dict["OPTIONS"] = _without_hurry(lock.settings_dict["OPTIONS"], "")
    try:
        with lock.cursor() as cursor:
            if not _takes(cursor):
                say_waiting()
                # Not in a statement that waits: an index that is built beside the writers would wait for its end.
                while not _takes(cursor):
                    time.sleep(LOOK_SECONDS)
            yield
    finally:
        lock.close()


def _takes(cursor: Any) -> bool:
    """Whether the lock was free, and is taken now."""
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
    return bool(cursor.fetchone() == (True,))


@contextmanager
def _unhurried(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Without the bounds that a request's statements have: an index of a large table takes longer.

    Only where nothing is connected yet, as on the command line: what has begun on a connection must go on there.
    """
    if connection.connection is not None:
        yield
        return
    hurried = connection.settings_dict["OPTIONS"]
    connection.settings_dict["OPTIONS"] = _without_hurry(hurried, LOCK_TIMEOUT)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = hurried


def _without_hurry(options: dict[str, Any], timeouts: str) -> dict[str, Any]:
    # The pool brings the impatient connections of core/db/postgresql.py.
    return {**{name: value for name, value in options.items() if name != "pool"}, "options": timeouts}


@contextmanager
def _alone_on_sqlite(connection: BaseDatabaseWrapper, say_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock on the database's folder: one on the file itself would end SQLite's own when it is closed."""
    folder = os.open(Path(connection.settings_dict["NAME"]).resolve().parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say_waiting()
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
