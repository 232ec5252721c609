"""What does this process tell its monitoring? `/metrics`, in Prometheus' text format."""

from __future__ import annotations

import ipaddress
import time
from hmac import compare_digest

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from chats.queue_stats import read_backlog
from core.addresses import PROXY_HEADERS
from core.db.executor import in_thread
from core.error_responses import method_not_allowed, not_found
from core.errors import ApiError
from core.observability import metrics

#: How old the figures may be that a question to the database or to Redis gives, in seconds.
_FRESH_SECONDS = 5.0

_looked_at = float("-inf")


async def metrics_page(request: HttpRequest) -> HttpResponse:
    """Every metric; to anybody but the monitoring there is nothing at this address."""
    request.get_host()  # Raises DisallowedHost for a foreign name: a page that a browser took for ours.
    if not _may_read(request):
        return not_found(request, Http404())
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed(request, ("GET", "HEAD"))
    await _look()
    return HttpResponse(metrics.text(), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    """With METRICS_TOKEN, who sends it; without, who asks from this machine and through no proxy."""
    if settings.METRICS_TOKEN:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    if any(name in request.headers for name in PROXY_HEADERS):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


async def _look() -> None:
    global _looked_at
    if time.monotonic() - _looked_at < _FRESH_SECONDS:
        return
    _looked_at = time.monotonic()
    try:
        queued, oldest = await in_thread(read_backlog)
    except ApiError:
        # Nobody knows; the heartbeat's age says why.
        queued = oldest = float("nan")
    metrics.REPLIES_QUEUED.set(queued)
    metrics.OLDEST_QUEUED.set(oldest)
