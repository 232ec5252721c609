"""Who makes this request, and have they made too many?

Every request with a known key counts, whatever it is answered, so this stands before the views; what strangers ask is
counted by their address. Whether a caller may do what it asks is for the view to say: `caller(request)`.
"""

from __future__ import annotations

import re

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBase

from core.addresses import scope_of
from core.db.executor import check_room, in_thread
from core.error_responses import bad_request, error_of, error_response, is_customer_face
from core.errors import RATE_LIMIT_EXCEEDED, ApiError
from core.middleware import PROBES, AsyncMiddleware
from core.observability import logs, metrics
from tenants import keys, strangers
from tenants.authentication import NoValidKey, check_kind, name_of_key, open_key
from tenants.known import live_keys, sessions
from tenants.limits import Verdict, request_windows
from tenants.models import ApiKey

#: The cookie of a session of Django's; another one costs no statement.
_SESSION = re.compile(r"[a-z0-9]{32}")

#: Where messages are posted.
_MESSAGES = re.compile(r"/api/v1/customer/conversations/[^/]+/messages/?")


class CallerMiddleware(AsyncMiddleware):
    """Finds the key's row, counts the request, and adds the rate limit's headers to every answer."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer of the view, or the refusal of one request too many."""
        if not request.path_info.startswith("/api/v1/"):
            refusal = await _refuse_page(request)
            return await self.get_response(request) if refusal is None else refusal
        try:
            key, verdict = await _open(request)
        except Exception as exception:
            if isinstance(exception, NoValidKey) and (refusal := await _refuse_stranger(request)) is not None:
                return refusal
            request.caller = error_of(exception)  # type: ignore[attr-defined]
            return await self.get_response(request)
        logs.bind(tenant_id=key.tenant_id)
        if verdict.allowed:
            request.caller = key  # type: ignore[attr-defined]
            response = await self.get_response(request)
        else:
            metrics.LIMITS_HIT.labels("requests").inc()
            response = error_response(request, ApiError(RATE_LIMIT_EXCEEDED, retry_after=verdict.reset))
        for name, value in verdict.headers.items():
            response[name] = value
        return response


def caller(request: HttpRequest) -> ApiKey:
    """The key that makes this request, of the kind its face asks for, with its tenant and account.

    Raises ApiError: AUTH_ERROR, WRONG_KEY_TYPE, or SERVICE_UNAVAILABLE where nobody could tell.
    """
    found: ApiKey | ApiError = request.caller  # type: ignore[attr-defined]
    if isinstance(found, ApiError):
        raise found
    check_kind(found, ApiKey.Kind.CUSTOMER if is_customer_face(request) else ApiKey.Kind.TENANT)
    return found


async def _open(request: HttpRequest) -> tuple[ApiKey, Verdict]:
    # A key that is no key costs no thread.
    raw = _credentials(request)
    name = name_of_key(raw)
    await strangers.check_key(name, scope_of(request))
    if request.method == "POST" and _MESSAGES.fullmatch(request.path_info):
        # At once, not after the key has waited for its own turn.
        check_room()
    try:
        return await in_thread(_open_and_count, raw)
    except NoValidKey:
        live_keys.forget(name)
        raise


def _open_and_count(raw: str) -> tuple[ApiKey, Verdict]:
    key = open_key(raw)
    return key, request_windows.count(key.tenant_id, key.tenant.rest_per_minute)


def _credentials(request: HttpRequest) -> str:
    return _bearer(request) if is_customer_face(request) else request.headers.get("X-API-Key", "").strip()


def _bearer(request: HttpRequest) -> str:
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    return raw.strip() if scheme.lower() == "bearer" else ""


async def _refuse_stranger(request: HttpRequest) -> HttpResponseBase | None:
    """The refusal of a request without a valid key: its address has had its share, or calls us by a foreign name."""
    problem = await strangers.refusal(scope_of(request))
    if problem is None:
        try:
            request.get_host()
        except DisallowedHost as exception:
            return bad_request(request, exception)
        return None
    return _refuse(request, problem)


async def _refuse_page(request: HttpRequest) -> HttpResponseBase | None:
    """The same of a request for anything but the API. Pages look at the name by which they are called themselves."""
    path = request.path_info
    if path in PROBES or path.startswith(settings.STATIC_URL) or await _is_known(request):
        return None
    problem = await strangers.refusal(scope_of(request))
    return None if problem is None else _refuse(request, problem)


async def _is_known(request: HttpRequest) -> bool:
    """Whether a page is asked for by somebody of the staff, or with a valid key."""
    scope = scope_of(request)
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    try:
        if _SESSION.fullmatch(session) and await strangers.is_known(sessions, session, scope):
            return True
        for raw in (request.headers.get("X-API-Key", "").strip(), _bearer(request)):
            if keys.is_well_formed(raw) and await strangers.is_known(live_keys, keys.digest(raw), scope):
                return True
    except ApiError:
        return False  # The database does not answer.
    return False


def _refuse(request: HttpRequest, problem: ApiError) -> HttpResponseBase:
    response = error_response(request, problem)
    response.is_counted = True  # type: ignore[attr-defined]  # for lexicon/http/access_log.py
    return response
