"""Whose key is this?"""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from core.db.statements import Param, Select
from core.errors import AUTH_ERROR, WRONG_KEY_TYPE, ApiError
from tenants import keys
from tenants.models import ApiKey

#: `last_used_at` is written at most this often, so that a busy key is no hot row.
_USE_NOTED_EVERY = timedelta(minutes=1)

_BY_DIGEST = Select(
    lambda: ApiKey.objects.all_tenants().order_by().filter(digest=Param("digest")).select_related("tenant__account")
)
_BY_ID = Select(
    lambda: ApiKey.objects.all_tenants().order_by().filter(id=Param("key_id")).select_related("tenant__account")
)


class NoValidKey(ApiError):
    """AUTH_ERROR of a caller who shows neither a live key nor a chat token of one: a stranger."""

    def __init__(self, message: str | None = None, *, fix: str | None = None) -> None:
        super().__init__(AUTH_ERROR, message, fix=fix)


def name_of_key(raw: str) -> str:
    """The digest of the key whose plaintext is `raw`. Raises NoValidKey where it is missing or malformed."""
    if not raw:
        raise NoValidKey("Missing API key", fix="Send the key: X-API-Key, or Authorization: Bearer.")
    if not keys.is_well_formed(raw):
        raise NoValidKey
    return keys.digest(raw)


def open_key(raw: str) -> ApiKey:
    """The live key whose plaintext is `raw`, of whatever kind, with its tenant and the tenant's account.

    Raises NoValidKey where it is malformed (no query is made), unknown, revoked or expired, or its tenant is off.
    """
    key = _BY_DIGEST.first(digest=name_of_key(raw))
    if key is None or not key.is_live:
        raise NoValidKey
    _note_use(key)
    return key


def open_live_key(key_id: uuid.UUID) -> ApiKey:
    """The key, with its tenant and the account, as they are now. Raises NoValidKey where it is dead."""
    key = _BY_ID.first(key_id=key_id)
    if key is None or not key.is_live:
        raise NoValidKey
    return key


def check_kind(key: ApiKey, kind: str) -> None:
    """Raises ApiError WRONG_KEY_TYPE where a live key is of the other kind."""
    if key.kind != kind:
        raise ApiError(WRONG_KEY_TYPE)


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > _USE_NOTED_EVERY:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lt=now - _USE_NOTED_EVERY)
        ApiKey.objects.for_tenant(key.tenant_id).filter(unnoted, id=key.id).update(last_used_at=now)
