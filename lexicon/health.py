"""Is this process alive, and should it be sent requests?"""

from __future__ import annotations

import asyncio

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse

from chats import presence
from lexicon import redis
from lexicon.answers import json_response
from lexicon.database import in_thread
from lexicon.errors import ApiError
from streaming.engine import engine

#: Whoever asks whether the process is ready wants to know before the database makes up its mind.
_PATIENCE_SECONDS = 3.0

_migrated = False


async def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as the event loop turns."""
    return json_response({"status": "alive"})


async def ready(request: HttpRequest) -> HttpResponse:
    """503 while the database does not answer, migrations are missing, or the process is stopping.

    And while another process lives on the same database that it could only hear through Redis, which is not set.
    """
    if engine().draining:
        return json_response({"status": "stopping"}, 503)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            problem = await in_thread(_database_problem)
    except (ApiError, TimeoutError):
        problem = "the database does not answer"
    if problem is None and not engine().is_leased:
        problem = "the heartbeat is not answered"
    if problem is not None:
        return json_response({"status": "not ready", "problem": problem}, 503)
    return json_response({"status": "ready", "redis": await redis.state()})


def _database_problem() -> str | None:
    global _migrated
    if not _migrated:
        # What is applied once stays applied; the plan costs a hundred times a ping.
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "migrations are missing: run manage.py migrate"
        _migrated = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if not settings.REDIS_URL and presence.others_alive(engine().process_id):
        return "another process serves from this database: set REDIS_URL for both, or stop one"
    return None
