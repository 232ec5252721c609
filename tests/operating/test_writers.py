"""Those who write to one SQLite file from one process do so in the order they came."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from core.db.sqlite3.base import DatabaseWrapper, WriterQueue, queue_of

pytestmark = pytest.mark.once

SOON = 30.0


def until(condition: Callable[[], object]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < SOON
        time.sleep(0.005)


class File:
    """A SQLite file that each thread here has a connection of its own to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.queue = queue_of(str(path))
        self.threads = ThreadPoolExecutor(20)
        self._connections: list[BaseDatabaseWrapper] = []
        with closing(sqlite3.connect(path)) as raw:
            raw.executescript("PRAGMA journal_mode=WAL; CREATE TABLE said (who TEXT)")

    def connect(self, seconds: float = SOON) -> Any:
        options = {"transaction_mode": "IMMEDIATE", "timeout": seconds}
        given = {"ENGINE": "core.db.sqlite3", "NAME": str(self.path), "OPTIONS": options, "TIME_ZONE": None}
        given |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False, "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False}
        made = DatabaseWrapper(given, "writers")
        made.inc_thread_sharing()
        self._connections.append(made)
        return made

    def begin(self, connection: Any) -> None:
        connection.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)

    def write(self, who: str, connection: Any = None) -> None:
        with (connection or self.connect()).cursor() as cursor:
            cursor.execute("INSERT INTO said VALUES (%s)", [who])

    def write_whole(self, who: str) -> None:
        """In a transaction."""
        connection = self.connect()
        self.begin(connection)
        self.write(who, connection)
        connection.commit()

    def later(self, work: Callable[..., None], *given: Any) -> Future[None]:
        """Begin to write in a thread, and come back when that one waits."""
        waiting = len(self.queue)
        future = self.threads.submit(work, *given)
        until(lambda: len(self.queue) == waiting + 1)
        return future

    @property
    def said(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as raw:
            return [who for (who,) in raw.execute("SELECT who FROM said ORDER BY rowid")]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self.threads.shutdown()


@pytest.fixture
def file(tmp_path: Path, django_db_blocker) -> Iterator[File]:  # type: ignore[no-untyped-def]
    made = File(tmp_path / "file.sqlite3")
    with django_db_blocker.unblock():
        yield made
        made.close()


def test_they_write_in_the_order_they_came(file: File) -> None:
    first = file.connect()
    file.begin(first)
    # Of both kinds: whole transactions, and single statements without one.
    waiting = [file.later((file.write, file.write_whole)[n % 2], str(n)) for n in range(12)]
    file.write("first", first)
    first.commit()
    for future in waiting:
        future.result(SOON)
    assert file.said == ["first", *map(str, range(12))]


def test_who_reads_waits_for_nobody(file: File) -> None:
    writer, reader = file.connect(), file.connect()
    file.write("before")
    file.begin(writer)
    file.write("meanwhile", writer)
    with reader.cursor() as cursor:
        assert cursor.execute("SELECT who FROM said").fetchall() == [("before",)]
    writer.rollback()


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_the_turn_passes_on_however_a_transaction_ends(file: File, end: str) -> None:
    first = file.connect()
    file.begin(first)
    waiting = file.later(file.write, "next")
    getattr(first, end)()
    waiting.result(SOON)
    assert file.said == ["next"]


def test_the_turn_passes_on_after_a_statement_that_failed(file: File) -> None:
    first = file.connect()
    with pytest.raises(OperationalError, match="no such table"), first.cursor() as cursor:
        cursor.execute("INSERT INTO unheard_of VALUES (1)")
    file.write("next")
    assert file.said == ["next"]


def test_who_waits_too_long_is_told_and_leaves_the_queue(file: File) -> None:
    first, impatient = file.connect(), file.connect(0.05)
    file.begin(first)
    for begin in (lambda: file.begin(impatient), lambda: file.write("never", impatient)):
        with pytest.raises(OperationalError, match="database is locked"):
            begin()
    assert len(file.queue) == 0
    first.commit()
    file.write("next", impatient)
    assert file.said == ["next"]


def test_who_finds_the_file_locked_by_another_process_passes_the_turn_on(file: File) -> None:
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for work in (file.begin, lambda connection: file.write("never", connection)):
            with pytest.raises(OperationalError, match="database is locked"):
                work(file.connect(0.05))
        other.execute("COMMIT")
    file.write("next")
    assert file.said == ["next"]


def test_a_savepoint_keeps_the_turn(transactional_db: None) -> None:
    from django.db import connection

    queue = queue_of(str(connection.settings_dict["NAME"]))
    with transaction.atomic():
        with pytest.raises(ValueError, match="inner"), transaction.atomic():
            raise ValueError("inner")
        waits = threading.Thread(target=queue.acquire, args=[SOON])
        waits.start()
        until(lambda: len(queue) == 1)
    waits.join(SOON)
    assert not waits.is_alive()
    queue.release()
    with transaction.atomic():
        pass


def test_who_waits_is_refused_when_the_line_stands_still_not_when_it_is_long() -> None:
    now = 0.0
    queue = WriterQueue(clock=lambda: now)
    queue.acquire(SOON)
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(queue.acquire, 0.01)
        # By this clock, somebody was given the turn just now, however often it is asked.
        time.sleep(0.2)
        assert not waits.done()
        now = 0.02
        assert isinstance(waits.exception(SOON), OperationalError)
    queue.release()
    queue.acquire(SOON)


def test_a_turn_that_comes_as_one_gives_up_is_not_lost() -> None:
    """Whether it was in time or not: afterwards it can be had."""
    queue = WriterQueue()
    for _ in range(200):
        queue.acquire(SOON)
        with ThreadPoolExecutor(1) as threads:
            waits = threads.submit(queue.acquire, 0.001)
            time.sleep(0.0005)
            queue.release()
            if waits.exception() is None:
                queue.release()
        queue.acquire(0.0)
        queue.release()
