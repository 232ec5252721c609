"""What was asked over HTTP, by whom, what was answered, and how long did it take?

One line and one count for each request. The route is told, never the path: that may hold ids that are people's
names, and its query keys.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase

from core.middleware import PROBES, AsyncMiddleware
from core.observability import logs, metrics, tracing

logger = logging.getLogger(__name__)

#: Asked every few seconds by machines: told only to who debugs.
_OF_MACHINES = (*PROBES, settings.STATIC_URL)
#: What a path names, by its name in the URLconf, and what a log line calls it.
_IDS = {"chat_id": "chat_id", "conversation_id": "chat_id", "object_id": "object_id"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class AccessMiddleware(AsyncMiddleware):
    """Tells of each request once its answer has begun."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, as it is."""
        asked = time.monotonic()
        with tracing.span("request"):
            response = await self.get_response(request)
            seconds = time.monotonic() - asked
            method = request.method if request.method in _METHODS else "OTHER"
            route = _route(request)
            status = response.status_code
            tracing.describe(method=method, route=route, status=status)
        face = _face(request.path_info)
        metrics.REQUESTS.labels(face, str(status)).inc()
        metrics.REQUEST_SECONDS.labels(face).observe(seconds)
        # What is refused without end has lines of its own (core/refusals.py).
        is_quiet = getattr(response, "is_counted", False) or (
            request.path_info.startswith(_OF_MACHINES) and status < 400
        )
        logger.log(
            logging.DEBUG if is_quiet else logging.INFO,
            "answered",
            extra=logs.fields(
                method=method,
                route=route,
                status=status,
                milliseconds=round(seconds * 1000, 1),
                error_code=getattr(response, "error_code", None),
                staff_id=_staff_id(request),
                # Who tries keys should be found.
                address=_address(request) if status in (401, 403) else None,
            ),
        )
        return response

    async def process_view(self, request: HttpRequest, view: Any, args: Any, parts: dict[str, Any]) -> None:
        """What the address names is what the request is about."""
        for part, name in _IDS.items():
            if part in parts and (named := _id(parts[part])):
                logs.bind(**{name: named})


@receiver(user_logged_in)
def _logged_in(sender: Any, request: HttpRequest | None, user: Any, **rest: Any) -> None:
    logger.info("a staff login", extra=logs.fields(staff_id=str(user.pk), address=_address(request)))


@receiver(user_logged_out)
def _logged_out(sender: Any, request: HttpRequest | None, user: Any, **rest: Any) -> None:
    logger.info("a staff logout", extra=logs.fields(staff_id=str(user.pk) if user else None))


@receiver(user_login_failed)
def _login_failed(sender: Any, request: HttpRequest | None = None, **rest: Any) -> None:
    # Without the name: people type their password there.
    logger.warning("a staff login failed", extra=logs.fields(address=_address(request)))


def _face(path: str) -> str:
    if path.startswith("/api/v1/customer/"):
        return "customer"
    if path.startswith("/api/v1/"):
        return "lexicon"
    if path.startswith("/admin/"):
        return "admin"
    return "other"


def _route(request: HttpRequest) -> str:
    if request.resolver_match is None:
        return "static" if request.path_info.startswith(settings.STATIC_URL) else "unknown"
    return _readable(request.resolver_match.route)


@lru_cache
def _readable(pattern: str) -> str:
    """`api/v1/chats/{chat_id}/messages` of the pattern in the URLconf."""
    named = re.sub(r"\(\?P<(\w+)>[^()]*\)|<(?:\w+:)?(\w+)>", lambda match: "{%s}" % (match[1] or match[2]), pattern)
    return "/" + named.replace("^", "").removesuffix(r"\Z").removesuffix("$").removesuffix("/?").replace("\\", "")


def _id(text: object) -> str | None:
    """A UUID or a number; whatever else a caller wrote there is no id."""
    try:
        return str(uuid.UUID(str(text)))
    except ValueError:
        return str(text) if re.fullmatch(r"[0-9]{1,18}", str(text)) else None


def _staff_id(request: HttpRequest) -> str | None:
    """Who of the staff asked, where that was looked up anyway."""
    user = getattr(request, "_cached_user", None) or getattr(request, "_acached_user", None)
    return str(user.pk) if user is not None and user.pk is not None else None


def _address(request: HttpRequest | None) -> str | None:
    return request.META.get("REMOTE_ADDR") if request is not None else None
