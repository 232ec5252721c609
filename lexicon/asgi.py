"""What does the server run?

HTTP goes to Django, WebSockets to the consumer, and the server's own life cycle starts and stops the
engine. daphne knows no life cycle: there the engine starts with its reactor.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lexicon.settings")
_django = get_asgi_application()

from django.conf import settings  # noqa: E402

from core.observability import reporting, tracing  # noqa: E402

if settings.SENTRY_DSN:
    reporting.start(settings.SENTRY_DSN)
if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
    tracing.start(settings.OTEL_EXPORTER_OTLP_ENDPOINT)

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.signals import request_started  # noqa: E402
from django.db import close_old_connections, reset_queries  # noqa: E402
from django.urls import re_path  # noqa: E402

from core.payload import max_body  # noqa: E402
from core.refusals import refused  # noqa: E402
from lexicon.http import health  # noqa: E402
from lexicon.http.middleware import TOO_LONG, is_of_api  # noqa: E402
from lexicon.http.proxies import TrustedProxies  # noqa: E402
from streaming import engine  # noqa: E402
from streaming.socket.consumer import ChatConsumer, UnknownSocket  # noqa: E402

# In a thread that has only just been started there are no connections to close. What asks the database in the pool
# gives its connection back itself (core/db/executor.py), and pages do when they end.
request_started.disconnect(reset_queries)
request_started.disconnect(close_old_connections)


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """The server starts, and one day stops."""
    running = None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            running = engine.start()
            await running.beats(5)
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            if running is not None:
                await running.stop()
            await asyncio.to_thread(tracing.stop)
            await send({"type": "lifespan.shutdown.complete"})
            return


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Django, which reads a body to its end before it looks at its length.

    Of one that is too long it is shown what came within the bound, and `scope` says so (lexicon/http/middleware.py
    answers it). The rest is not read: a server that reads ahead stops when its own buffer is full, and
    lexicon/server/http_protocol.py closes the connection when the answer is written. Of one that says itself how long
    it is, nothing is read.

    Django also starts a thread for each request, in which what is synchronous runs. Of the API and of probes that is
    nothing but the closing of the response, whose place is a thread that all share; it was a tenth of a question's
    processor time.
    """
    if await health.answered_at_once(scope, send):
        return
    path = scope["path"]
    bound = room = max_body(path)

    def refuse() -> dict[str, Any]:
        scope[TOO_LONG] = bound
        refused("body", address=scope["client"][0] if scope.get("client") else None)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def bounded() -> Any:
        nonlocal room
        if TOO_LONG in scope:
            await asyncio.Event().wait()  # Django waits for the disconnect until it has answered.
        if room == bound and _declared_length(scope) > bound:
            return refuse()
        message = await receive()
        if message["type"] == "http.request":
            room -= len(message.get("body", b""))
            if room < 0:
                return refuse()
        return message

    # A DELETE may wait for long (lexicon/urls.py). Probes are answered however many threads wait.
    serve = _django.handle if is_of_api(path) and scope["method"].upper() != "DELETE" else _django
    await serve(scope, bounded, send)


def _declared_length(scope: Any) -> int:
    """What `Content-Length` says; 0 where it says nothing that can be understood."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0


application = TrustedProxies(
    ProtocolTypeRouter(
        {
            "http": http,
            "websocket": URLRouter(
                [re_path(r"^ws/chat/?\Z", ChatConsumer.as_asgi()), re_path(r"", UnknownSocket.as_asgi())]
            ),
            "lifespan": lifespan,
        }
    ),
    trusted=settings.TRUSTED_PROXIES,
)

if (reactor := sys.modules.get("twisted.internet.reactor")) is not None:
    # callLater, not callWhenRunning: only then does the event loop turn.
    reactor.callWhenRunning(lambda: reactor.callLater(0, engine.start))
