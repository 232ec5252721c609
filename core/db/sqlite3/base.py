"""Who of this process may write to a SQLite file next?

SQLite has one writer at a time, and a connection that comes meanwhile sleeps, longer each time, and tries again: the
one that has waited longest is asleep when the file is free, and after five seconds of bad luck it is told that the
database is locked, although everybody writes for milliseconds. So the threads of this process queue for it, first
come, first served. Between processes (a command beside the server) SQLite's own waiting holds, as it always did.

The file holds every message, so only its owner may read it, from the moment it is there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

#: Statements that write, outside of a transaction, too. Everything else that writes begins one.
_WRITING = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class WriterQueue:
    """Those who wait to write to one file. One at a time has the turn, the others get it in the order they came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False
        #: When the turn last passed to somebody.
        self._moved_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def acquire(self, seconds: float) -> None:
        """Wait for the turn. Raises OperationalError where nobody's comes for so many seconds.

        Behind others who write, it comes; behind one who holds on to it, it does not.
        """
        with self._lock:
            if not self._taken:
                self._pass()
                return
            mine = threading.Event()
            self._waiting.append(mine)
        left = seconds
        while not mine.wait(left):
            with self._lock:
                if mine.is_set():
                    return
                left = self._moved_at + seconds - self._clock()
                if left <= 0:
                    self._waiting.remove(mine)
                    raise OperationalError("database is locked: the turn to write did not come")

    def release(self) -> None:
        """Let the next one have the turn."""
        with self._lock:
            self._taken = False
            if self._waiting:
                self._pass()
                self._waiting.popleft().set()

    def _pass(self) -> None:
        self._taken = True
        self._moved_at = self._clock()


_queues: dict[str, WriterQueue] = {}
_queues_lock = threading.Lock()


def queue_of(name: str) -> WriterQueue:
    """The queue before the file of that name."""
    with _queues_lock:
        return _queues.setdefault(name, WriterQueue())


def make_private(name: str) -> None:
    """Let nobody but the owner read the database of that file name (mode 0600), which is made where there is none.

    SQLite gives its log and its shared memory the file's own mode; those that are there already get it here.
    A file of another owner stays as it is.
    """
    if name == ":memory:" or name.startswith("file:"):
        return
    path = os.path.realpath(name)
    # The lock: closing any descriptor of the file ends SQLite's locks of the whole process
    # (https://sqlite.org/howtocorrupt.html, section 2.2), so nobody here may have opened it before this one is closed.
    with _queues_lock, contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return
    for file in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        with contextlib.suppress(OSError):
            if stat.S_IMODE(os.stat(file).st_mode) & 0o077:
                os.chmod(file, 0o600)


@lru_cache(maxsize=512)
def _with_question_marks(query: str) -> str:
    return base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")


#: Longer ones are hardly asked twice.
_REMEMBERED = 8192


class Cursor(base.SQLiteCursorWrapper):
    """A cursor whose single writes, outside of a transaction, wait in line, too, and that spells a query once."""

    def __init__(self, wrapper: DatabaseWrapper, connection: Any) -> None:
        super().__init__(connection)
        self._wrapper = wrapper

    def convert_query(self, query: str, *, param_names: Any = None) -> str:
        """A query of Django's as SQLite spells it."""
        if param_names is None and len(query) <= _REMEMBERED:
            return _with_question_marks(query)
        return super().convert_query(query, param_names=param_names)

    def execute(self, query: str, params: Any = None) -> Any:
        """Run one statement."""
        if self.connection.in_transaction or not query.lstrip()[:7].upper().startswith(_WRITING):
            return super().execute(query, params)
        self._wrapper.acquire_turn()
        try:
            return super().execute(query, params)
        finally:
            self._wrapper.release_turn()


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that has the turn from the beginning of a transaction to its end, whatever that is."""

    _has_turn = False

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """As Django's, of a file that nobody else may read."""
        make_private(str(conn_params["database"]))
        self._queue = queue_of(str(conn_params["database"]))
        self._seconds = float(conn_params.get("timeout", 5.0))
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        """As Django's, with cursors of ours."""
        return self.connection.cursor(factory=partial(Cursor, self))

    def acquire_turn(self) -> None:
        """Wait in line. Raises OperationalError as SQLite does where the wait is too long."""
        self._queue.acquire(self._seconds)
        self._has_turn = True

    def release_turn(self) -> None:
        """Pass the turn on, if this connection has it."""
        if self._has_turn:
            self._has_turn = False
            self._queue.release()

    def _start_transaction_under_autocommit(self) -> None:
        self.acquire_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self.release_turn()
            raise

    def _commit(self) -> None:
        # Where it fails, a rollback follows.
        super()._commit()  # type: ignore[misc]
        self.release_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self.release_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self.release_turn()
