"""What happens to every request, and what only to a browser's?

Django's own middleware is synchronous: each costs an asynchronous request a hop to a thread and
back. The API needs none of it (no session, no cookie ever authenticates it), so it steps aside there.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import markcoroutinefunction
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.deprecation import MiddlewareMixin

from chats.staff_presence import note_presence
from lexicon import logs

_PLAIN_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


class RequestIdMiddleware:
    """Gives every request an id, the caller's own where it is harmless, and every answer the same."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, with `X-Request-ID`."""
        given = request.headers.get("X-Request-ID", "")
        current = given if _PLAIN_ID.fullmatch(given) else uuid.uuid4().hex
        # Django runs each request in a task of its own; what the answer still does after this is the request's, too.
        logs.bind(request_id=current)
        response = await self.get_response(request)
        response["X-Request-ID"] = current
        if not response.streaming and not response.has_header("Content-Length"):
            response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        return response


def is_api(request: HttpRequest) -> bool:
    """Whether the request is the API's, which knows no browser."""
    return request.path_info.startswith(("/api/v1/", "/healthz", "/readyz", "/metrics"))


class SecurityHeadersMiddleware(SecurityMiddleware):
    """Django's security headers, on every answer; they need no thread."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.process_request(request) or await self.get_response(request)  # type: ignore[misc]
        return self.process_response(request, response)


class _PagesOnly:
    """Mixed into a middleware of Django's: steps aside for the API."""

    get_response: Any

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if is_api(request):
            return await self.get_response(request)
        return await super().__acall__(request)  # type: ignore[misc]


class PageSessionMiddleware(_PagesOnly, SessionMiddleware):
    """Sessions for pages."""


class PageCommonMiddleware(_PagesOnly, CommonMiddleware):
    """Slash redirects and content length for pages."""


class PageCsrfMiddleware(_PagesOnly, CsrfViewMiddleware):
    """Forgery protection for pages."""

    async def process_view(  # type: ignore[override]
        self, request: HttpRequest, *args: Any
    ) -> HttpResponseBase | None:
        """The refusal of a forged form, or None."""
        return None if is_api(request) else super().process_view(request, *args)


class PageAuthenticationMiddleware(_PagesOnly, AuthenticationMiddleware):
    """Staff logins for pages."""


class PageMessageMiddleware(_PagesOnly, MessageMiddleware):
    """Notices for pages."""


class PageFrameMiddleware(_PagesOnly, XFrameOptionsMiddleware):
    """Pages in frames of this site only."""


class StaffPresenceMiddleware(MiddlewareMixin):
    """Notes who of the staff uses the admin, once a page is made; nothing else costs a thread."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_admin(request):
            return await self.get_response(request)  # type: ignore[misc]
        return await super().__acall__(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer, as it is."""
        if _is_admin(request):
            user: Any = request.user  # type: ignore[attr-defined]
            if user.is_authenticated:
                note_presence(user)
        return response


def _is_admin(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin/")
