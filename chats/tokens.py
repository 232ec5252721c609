"""What may a browser hold instead of a key?

A chat token: signed, it names one key, one chat and one user, and opens `/ws/chat` for these alone. It is
not stored; it dies with its key, its expiry, or the secret that signed it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.http.request import split_domain_port, validate_host
from django.utils import timezone

from core.errors import AUTH_ERROR, ApiError
from tenants.authentication import NoValidKey
from tenants.models import ApiKey, Tenant

#: How long a token lives unless its maker says otherwise, and the bounds of what they may say, in seconds.
TTL_SECONDS = 3600
LEAST_TTL_SECONDS = 60
MOST_TTL_SECONDS = 86_400

_SALT = "lexicon.chat-token"
#: What stands fifth in a visitor's token.
_VISITOR = "visitor"


@dataclass(frozen=True, slots=True)
class ChatToken:
    """What a token names."""

    key_id: uuid.UUID
    chat_id: str
    user_id: str
    #: Whether it was made for a visitor of the chat page, whose address has bounds.
    of_visitor: bool = False


def make_token(
    *, key: ApiKey, chat_id: uuid.UUID, user_id: str, ttl_seconds: int, of_visitor: bool = False
) -> tuple[str, datetime]:
    """A token for that chat and user, and when it expires."""
    expires_at = (timezone.now() + timedelta(seconds=ttl_seconds)).replace(microsecond=0)
    named: list[Any] = [str(key.id), str(chat_id), user_id, int(expires_at.timestamp())]
    if of_visitor:
        named.append(_VISITOR)
    return signing.dumps(named, salt=_SALT, compress=False), expires_at


def read_token(token: str) -> ChatToken:
    """What the token names. Raises NoValidKey where it is not one of ours, or has expired."""
    try:
        key_id, chat_id, user_id, expires, *marks = signing.loads(token, salt=_SALT)
        named = ChatToken(uuid.UUID(key_id), chat_id, user_id, of_visitor=_VISITOR in marks)
        expires_at = datetime.fromtimestamp(expires, UTC)
    # Signed, but of another shape: a later version made it.
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        raise NoValidKey("Invalid chat token", fix=_NEW_TOKEN) from None
    if expires_at <= timezone.now():
        raise NoValidKey("The chat token has expired", fix=_NEW_TOKEN)
    return named


def check_origin(origin: str | None, *, host: str, tenant: Tenant) -> None:
    """Raises ApiError AUTH_ERROR where a page comes with a token that is neither ours nor on the tenant's list.

    `host` is the Host header: a page of the same host is this server's own. Who sends no Origin is no page.
    """
    if origin is None or origin in (_origin_of(settings.PUBLIC_URL), *tenant.allowed_origins):
        return
    domain, _ = split_domain_port(host)
    own = origin.partition("://")[2]
    if own and own == host and validate_host(domain, settings.ALLOWED_HOSTS):
        return
    raise ApiError(
        AUTH_ERROR,
        "This page may not use chat tokens of this tenant",
        fix="Add the page's origin to the tenant's allowed origins.",
    )


def _origin_of(url: str) -> str:
    return "/".join(url.split("/")[:3])


_NEW_TOKEN = "Let your backend make a new one: POST /api/v1/chats/{chat_id}/tokens"
