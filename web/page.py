"""How does somebody without a key talk? The page at `/` chats with one tenant, as an anonymous visitor.

A signed cookie remembers who the visitor is and which chat is theirs; the browser gets a chat token for
it, never a key. Off (404) unless CHAT_PAGE_TENANT names a tenant.
"""

from __future__ import annotations

import logging
import secrets
import uuid
from functools import cache
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from chats.chats import do_create_chat, open_chat, visible
from chats.models import Chat
from chats.tokens import make_token
from core.addresses import bounded_network, network_id, scope_of
from core.db.executor import in_thread
from core.error_responses import error_response, json_response
from core.errors import CHAT_NOT_FOUND, RATE_LIMIT_EXCEEDED, ApiError
from core.observability import logs
from core.refusals import refused
from tenants.limits import visitor_windows
from tenants.models import ApiKey, Tenant

logger = logging.getLogger(__name__)

COOKIE = "lexicon_visitor"
COOKIE_SECONDS = 90 * 86_400
#: Short: the page asks for a new one whenever it connects, and an open socket outlives its token.
TOKEN_SECONDS = 300

_SALT = "lexicon.visitor"


@require_safe
async def page(request: HttpRequest) -> HttpResponse:
    """The page."""
    logs.bind(tenant_id=settings.CHAT_PAGE_TENANT)
    try:
        tenant, _ = await in_thread(_served)
    except ApiError as error:  # The database does not answer.
        return error_response(request, error)
    response = render(request, "chat/page.html", {"name": tenant.name})
    response["Content-Security-Policy"] = policy(request.get_host())
    response["Cache-Control"] = "no-store"
    return response


@require_POST
async def visit(request: HttpRequest) -> HttpResponse:
    """A token for the visitor's chat: `{token, chat_id}`. With `?new` for one in which nothing was said.

    A new visitor too many of one address (VISITORS_PER_HOUR) is told when to come back. Same origin only, as any form
    of Django's: the page sends its CSRF token in a header.
    """
    logs.bind(tenant_id=settings.CHAT_PAGE_TENANT)
    network = bounded_network(scope_of(request))
    try:
        body, cookie = await in_thread(_visit, request.COOKIES.get(COOKIE, ""), network, anew="new" in request.GET)
    except ApiError as error:
        return error_response(request, error)
    response = json_response(body)
    response["Cache-Control"] = "no-store"
    response.set_cookie(
        COOKIE, cookie, max_age=COOKIE_SECONDS, httponly=True, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE
    )
    return response


def _visit(cookie: str, network: str | None, *, anew: bool) -> tuple[dict[str, Any], str]:
    tenant, key = _served()
    user_id, chat_id = _remembered(cookie)
    if not user_id:
        _count_visitor(network)
        user_id = f"visitor-{secrets.token_hex(8)}"
    chat = None if anew else _find_chat(tenant, chat_id, user_id)
    chat = chat or _find_empty_chat(tenant, user_id)
    if chat is None:
        chat = do_create_chat(tenant_id=tenant.id, user_id=user_id, metadata={"source": "page"})
    token, _ = make_token(key=key, chat_id=chat.id, user_id=user_id, ttl_seconds=TOKEN_SECONDS, of_visitor=True)
    return {"token": token, "chat_id": chat.id}, signing.dumps([user_id, str(chat.id)], salt=_SALT)


def _count_visitor(network: str | None) -> None:
    """Raises ApiError RATE_LIMIT_EXCEEDED where as many new visitors came from the address as may."""
    if network is None or not settings.VISITORS_PER_HOUR:
        return
    verdict = visitor_windows.count(network_id(network), settings.VISITORS_PER_HOUR)
    if not verdict.allowed:
        refused("visitors", address=network)
        raise ApiError(RATE_LIMIT_EXCEEDED, "Too many new visitors came from this address", retry_after=verdict.reset)


def _served() -> tuple[Tenant, ApiKey]:
    """The tenant of the page, and the key its tokens die with. Raises Http404 where there is none."""
    if settings.CHAT_PAGE_TENANT is None:
        raise Http404
    keys = ApiKey.objects.for_tenant(settings.CHAT_PAGE_TENANT).filter(kind=ApiKey.Kind.TENANT, revoked_at=None)
    keys = keys.exclude(expires_at__lte=timezone.now()).select_related("tenant")
    for key in keys.order_by("created_at", "id")[:1]:
        if key.is_live:
            return key.tenant, key
    _say_why_there_is_none(settings.CHAT_PAGE_TENANT)
    raise Http404


@cache
def _say_why_there_is_none(tenant_id: uuid.UUID) -> None:
    """In the log, once."""
    logger.warning("there is no page: CHAT_PAGE_TENANT names no active tenant with a live tenant key")


def _remembered(cookie: str) -> tuple[str, str]:
    """The visitor's user_id and the id of their chat; "" and "" where the cookie says nothing."""
    try:
        user_id, chat_id = signing.loads(cookie, salt=_SALT, max_age=COOKIE_SECONDS)
    except signing.BadSignature:
        return "", ""
    return user_id, chat_id


def _find_chat(tenant: Tenant, chat_id: str, user_id: str) -> Chat | None:
    try:
        chat = open_chat(tenant_id=tenant.id, chat_id=chat_id)
    except ApiError as error:
        if error.kind is CHAT_NOT_FOUND:
            return None
        raise
    return chat if chat.user.external_id == user_id else None


def _find_empty_chat(tenant: Tenant, user_id: str) -> Chat | None:
    """The visitor's newest chat, where nothing was said in it: a new one costs a message in the one before."""
    chats = visible(tenant.id).filter(user__external_id=user_id, user__tenant=tenant)
    newest = chats.order_by("-created_at", "-id").first()
    return newest if newest is not None and newest.last_sequence == 0 else None


def policy(host: str, *, ancestors: str = "'none'") -> str:
    """The Content-Security-Policy: nothing but this server's own files and sockets; `ancestors` may frame the page."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            # Not every browser counts a WebSocket of the same host as 'self'.
            f"connect-src 'self' ws://{host} wss://{host}",
            "img-src 'self' data:",
            f"frame-ancestors {ancestors}",
            "base-uri 'none'",
            "form-action 'self'",
        )
    )
