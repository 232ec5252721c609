"""What happens to every request, and what only to a browser's?

Django's own middleware is synchronous: each costs an asynchronous request a hop to a thread and
back. The API needs none of it (no session, no cookie ever authenticates it), so it steps aside there.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any
from urllib.parse import unquote_to_bytes

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import TooManyFieldsSent, ValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.deprecation import MiddlewareMixin

from chats.staff_presence import note_presence
from core.error_responses import error_of, error_response, malformed, method_not_allowed
from core.errors import PAYLOAD_TOO_LARGE, ApiError
from core.middleware import PROBES, AsyncMiddleware
from core.observability import logs

logger = logging.getLogger(__name__)


class RequestIdMiddleware(AsyncMiddleware):
    """Gives every request an id, the caller's own where it is harmless, and every answer the same."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, with `X-Request-ID`."""
        current = logs.choose_request_id(request.headers.get("X-Request-ID", ""))
        # Django runs each request in a task of its own; what the answer still does after this is the request's, too.
        logs.bind(request_id=current)
        response = await self.get_response(request)
        response["X-Request-ID"] = current
        if not response.streaming and not response.has_header("Content-Length"):
            response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        return response


class WellFormedMiddleware(AsyncMiddleware):
    """Refuses what no view should have to read: a query that is none, and methods that the address does not take.

    A key is known by now, so that the request counts. What others answer to a wrong method gets the one shape.
    """

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer of the view, or the refusal."""
        try:
            _check_query(request)
        except ApiError as error:
            return error_response(request, error)
        response = await self.get_response(request)
        if len(response.get("Location", "")) > _MOST_LOCATION:
            response.close()
            return error_response(request, malformed("The address is too long to be led on from"))
        if response.status_code == 405 and response.get("Content-Type") != "application/json":
            response.close()
            return method_not_allowed(request, response.get("Allow", "").split(", "))
        return response

    async def process_view(
        self, request: HttpRequest, view: Any, args: Any, parts: dict[str, Any]
    ) -> HttpResponseBase | None:
        """The refusal of a method, or None where the view may look at it."""
        assert request.resolver_match is not None
        in_admin = "admin" in request.resolver_match.namespaces
        allowed = _FORMS if in_admin else getattr(view, "allowed_methods", None)
        return None if allowed is None or request.method in allowed else method_not_allowed(request, allowed)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """400 where the admin was given what no column holds: an id that is none, a number beyond 64 bits, NUL.

        Django's admin hands much of its addresses and forms to the ORM as it came, and has no answer to what that says.
        """
        match = request.resolver_match
        if match is None or "admin" not in match.namespaces or not _is_of_conversion(exception):
            return None
        # It may be ours, too.
        logger.warning("a value that no column holds", exc_info=exception)
        return error_response(request, malformed("The address or the form has a value that can not be looked up"))


#: Longest address that a page leads on to, in characters. It may quote the one that was asked for, and a proxy takes an
#: answer whose head is over its buffer (nginx: 4 KiB) for a failure of the process, which gets no requests for a while.
_MOST_LOCATION = 2000
#: What pages with forms take. Django's admin would take any other method for a GET, or answer OPTIONS.
_FORMS = ("GET", "HEAD", "POST")


def _is_of_conversion(exception: BaseException) -> bool:
    """Whether the ORM, or the database, could not make a value of what it was given."""
    if isinstance(exception, DataError):
        return True
    if not isinstance(exception, ValidationError | ValueError | OverflowError) or exception.__traceback__ is None:
        return False
    *_, (innermost, _) = traceback.walk_tb(exception.__traceback__)
    return str(innermost.f_globals.get("__name__", "")).startswith("django.db.")


def _check_query(request: HttpRequest) -> None:
    """Raises ApiError INVALID_REQUEST where the query has more than 1,000 parameters, or is not UTF-8."""
    if not (query := request.META["QUERY_STRING"]):
        return
    try:
        unquote_to_bytes(query).decode()
        _ = request.GET
    except UnicodeDecodeError:
        raise malformed("The query is not UTF-8, percent-encoded") from None
    except TooManyFieldsSent as error:
        raise error_of(error) from None


def is_api(request: HttpRequest) -> bool:
    """Whether the request is the API's, which knows no browser."""
    return is_of_api(request.path_info)


def is_of_api(path: str) -> bool:
    """Whether the path is the API's, or one that probes ask for."""
    return path.startswith(("/api/v1/", *PROBES))


#: The key of an ASGI scope whose body is longer than it may be, with that bound as its value (lexicon/asgi.py).
TOO_LONG = "lexicon.body_is_too_long"


class BodyLengthMiddleware(AsyncMiddleware):
    """Refuses a body that is too long, on every path, whether or not what is there would have looked at it."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer; after a refusal the connection is closed."""
        bound = getattr(request, "scope", {}).get(TOO_LONG)
        if bound is None:
            return await self.get_response(request)
        problem = f"The body is larger than {bound // (1024 * 1024)} MiB"
        response = error_response(request, ApiError(PAYLOAD_TOO_LARGE, problem))
        response["Connection"] = "close"
        return response


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
