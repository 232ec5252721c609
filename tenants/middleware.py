"""Who makes this API request, and have they made too many?

Every request with a known key counts, whatever it is answered, so this stands before the views.
Whether the caller may do what they ask is for the view to say: `caller(request)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from lexicon import logs, metrics
from lexicon.answers import error_of, error_response, is_customer_face
from lexicon.database import in_thread
from lexicon.errors import RATE_LIMIT_EXCEEDED, ApiError
from tenants import keys
from tenants.authentication import check_kind, open_key
from tenants.limits import Verdict, request_windows
from tenants.models import ApiKey


class CallerMiddleware:
    """Finds the key's row, counts the request, and adds the rate limit's headers to every answer."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer of the view, or the refusal of one request too many."""
        if not request.path_info.startswith("/api/v1/"):
            return await self.get_response(request)
        try:
            key, verdict = await _open(_credentials(request))
        except Exception as exception:
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


async def _open(raw: str) -> tuple[ApiKey, Verdict]:
    # A key that is no key costs no thread.
    return await in_thread(_open_and_count, raw) if keys.is_well_formed(raw) else _open_and_count(raw)


def _open_and_count(raw: str) -> tuple[ApiKey, Verdict]:
    key = open_key(raw)
    return key, request_windows.count(key.tenant_id, key.tenant.rest_per_minute)


def _credentials(request: HttpRequest) -> str:
    if not is_customer_face(request):
        return request.headers.get("X-API-Key", "").strip()
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    return raw.strip() if scheme.lower() == "bearer" else ""
