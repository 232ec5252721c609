"""Is this process alive, and should it be sent requests?

Neither answer waits for a thread, the database or Redis: what is known of those is what the heartbeat, on a thread and
a connection of its own, found last. And where all is well neither waits for Django: it has an event loop turn a dozen
times before it answers, and under load each turn takes long.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware

from core.error_responses import json_response
from core.observability import logs, metrics
from lexicon import VERSION
from streaming.engine import engine
from streaming.supervision import restarts

logger = logging.getLogger(__name__)


async def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as the event loop turns; which version that is."""
    return _alive()


async def ready(request: HttpRequest) -> HttpResponse:
    """503 while the database does not answer, migrations are missing, or the process is stopping.

    And while another process lives on the same database that it could only hear through Redis, which is not set.
    """
    return _ready()


async def answered_at_once(scope: Any, send: Any) -> bool:
    """Answer a probe that is plain and well, as the views above would; False where that is for them to do."""
    asked = time.monotonic()
    view = _PROBES.get(scope["path"])
    if view is None or scope["method"] not in ("GET", "HEAD") or scope["query_string"]:
        return False
    asked_with = dict(scope["headers"])
    if asked_with.keys() & {b"content-length", b"transfer-encoding"}:
        return False
    response = view()
    if response.status_code != 200:
        return False
    given = asked_with.get(b"x-request-id", b"")
    headers = {
        **response.headers,
        **_security_headers(asked_with.get(b"x-forwarded-proto") == b"https"),
        "Content-Length": str(len(response.content)),
        "X-Request-ID": logs.choose_request_id(given.decode("latin-1")),
    }
    metrics.REQUESTS.labels("other", "200").inc()
    metrics.REQUEST_SECONDS.labels("other").observe(time.monotonic() - asked)
    logger.debug("answered", extra=logs.fields(method=scope["method"], route=scope["path"], status=200))
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": response.content})
    return True


def _alive() -> HttpResponse:
    return json_response({"status": "alive", "version": VERSION})


def _ready() -> HttpResponse:
    if engine().draining:
        return json_response({"status": "stopping"}, 503)
    if (problem := engine().problem) is not None:
        return json_response({"status": "not ready", "problem": problem}, 503)
    body: dict[str, Any] = {"status": "ready", "redis": engine().redis}
    if restarts:
        body["restarted_tasks"] = dict(restarts)
    return json_response(body)


_PROBES = {"/healthz": _alive, "/readyz": _ready}


@cache
def _security_headers(proxy_says_https: bool) -> dict[str, str]:
    """What Django adds to every answer; it decides whether what a proxy says counts."""
    request, bare = HttpRequest(), HttpResponse()
    if proxy_says_https:
        request.META["HTTP_X_FORWARDED_PROTO"] = "https"
    del bare["Content-Type"]
    return dict(SecurityMiddleware(lambda request: bare).process_response(request, bare).items())
