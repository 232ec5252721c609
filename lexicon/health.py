"""Is this process alive, and should it be sent requests?

Neither answer waits for a thread, the database or Redis: what is known of those is what the heartbeat, on a thread and
a connection of its own, found last.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from lexicon import VERSION
from lexicon.answers import json_response
from streaming.engine import engine
from streaming.supervision import restarts


async def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as the event loop turns; which version that is."""
    return json_response({"status": "alive", "version": VERSION})


async def ready(request: HttpRequest) -> HttpResponse:
    """503 while the database does not answer, migrations are missing, or the process is stopping.

    And while another process lives on the same database that it could only hear through Redis, which is not set.
    """
    if engine().draining:
        return json_response({"status": "stopping"}, 503)
    if (problem := engine().problem) is not None:
        return json_response({"status": "not ready", "problem": problem}, 503)
    body: dict[str, Any] = {"status": "ready", "redis": engine().redis}
    if restarts:
        body["restarted_tasks"] = dict(restarts)
    return json_response(body)
