"""How does code in the event loop reach the database?

Only through `in_thread`, which runs one short synchronous unit in a bounded pool of threads.
(Channels' own `database_sync_to_async` shares ONE thread between all sockets of a process:
measured, four units of 0.5 s took 2.07 s.) Cancelling the caller does not stop the thread, so
every effect of an operation belongs inside the unit.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor

from core.db.thread_pool import ThreadPool
from core.errors import SERVICE_UNAVAILABLE, ApiError, unavailable
from core.observability import logs
from core.refusals import refused

P = ParamSpec("P")
T = TypeVar("T")

#: Threads for database work: enough that a slow query does not hold up the rest, few enough for a small pool.
THREADS = 8
#: Seconds a unit may wait for a thread while the database answers nobody: then it is refused instead of waiting on.
WAITING_SECONDS = 5.0
#: In how many seconds those come back who are refused for want of room: not all of them at once.
COME_BACK = (2, 6)
#: Seconds between two questions to a database that does not answer.
RETRY_SECONDS = 0.5

#: When the database last answered, on the monotonic clock.
_answered_at = 0.0
_pool = ThreadPool(THREADS, "database")


async def in_thread(unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `unit` answers, run in a database thread.

    Raises what `unit` raises, but ApiError SERVICE_UNAVAILABLE where the database does not answer.
    """
    asked = time.monotonic()
    # What the caller's lines are about, those of the thread are about, too.
    about = copy_context()
    return await _pool.run(lambda: about.run(lambda: _run(asked, unit, *args, **kwargs)), lane=_lane())


def _lane() -> str:
    """Who waits for whom: units of a tenant for each other, and what is of nobody yet for its like."""
    about = logs.about()
    return about.get("tenant_id") or about.get("chat_id", "")


def check_room() -> None:
    """Before a new message is stored. Raises ApiError SERVICE_UNAVAILABLE where DATABASE_QUEUE units wait already.

    Of those who ask for much, that is: whose lane has less than its share of what waits is let through. Each message
    brings some more units, so that those that are refused are what lets the others be answered in time. Nothing else is
    refused: what was begun goes on.
    """
    if settings.DATABASE_QUEUE and _pool.is_full(settings.DATABASE_QUEUE, lane=_lane()):
        refused("database_queue")
        raise ApiError(SERVICE_UNAVAILABLE, retry_after=random.randint(*COME_BACK))


async def in_thread_until_answered(unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `in_thread`, asking again for as long as the database does not answer."""
    while True:
        try:
            return await in_thread(unit, *args, **kwargs)
        except ApiError as error:
            if error.kind is not SERVICE_UNAVAILABLE:
                raise
            await asyncio.sleep(RETRY_SECONDS)


def _run(asked: float, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    global _answered_at
    # A unit that waits behind many others is served in its turn; behind a database that hangs, it is not.
    if time.monotonic() > max(asked, _answered_at) + WAITING_SECONDS:
        raise unavailable()
    answered = True
    try:
        return unit(*args, **kwargs)
    except (OperationalError, InterfaceError) as error:
        answered = False
        raise unavailable() from error
    finally:
        if answered:
            _answered_at = time.monotonic()
        release_connections()


def release_connections() -> None:
    """Give this thread's connections back to their pool, or close those past their age."""
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()


def misses_migrations() -> bool:
    """Whether a migration of this version was not run on the database. Reads all of them: a tenth of a second."""
    executor = MigrationExecutor(connections["default"])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
