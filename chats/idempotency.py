"""How is a creating POST carried out once, however often it is sent?"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request

from chats.models import IdempotencyRecord
from core.errors import IDEMPOTENCY_CONFLICT, INVALID_REQUEST, ApiError
from core.payload import fingerprint, write_json

#: How long an answer is remembered (CONTRACT: 24 h).
_KEPT = timedelta(hours=24)


def read_key(headers: Any) -> str | None:
    """The Idempotency-Key of a request, or None. Raises ApiError INVALID_REQUEST where it is not what it should be."""
    key = headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        problem = "must be 1 to 255 printable ASCII characters"
        raise ApiError(INVALID_REQUEST, f"Idempotency-Key {problem}", fields={"Idempotency-Key": problem})
    return key


def create_once(request: Request, tenant_id: uuid.UUID, create: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `create` answers or, where the request's Idempotency-Key was used before, what it answered then.

    Raises ApiError IDEMPOTENCY_CONFLICT where the key was used for another route or body.
    """
    key = read_key(request.headers)
    if key is None:
        return create()
    route = f"{request.method} {request.path.rstrip('/')}"
    digest = fingerprint([route, dict(request.data)])
    records = IdempotencyRecord.objects.for_tenant(tenant_id).filter(key=key)
    while True:
        records.filter(created_at__lte=timezone.now() - _KEPT).delete()
        if (record := records.first()) is not None:
            if record.digest != digest:
                raise ApiError(IDEMPOTENCY_CONFLICT)
            return record.answer
        try:
            with transaction.atomic():
                answer = json.loads(write_json(create()))
                IdempotencyRecord.objects.create(tenant_id=tenant_id, key=key, digest=digest, answer=answer)
        except IntegrityError:
            continue  # The same request, sent at the same time, was faster.
        return answer


def do_forget() -> None:
    """Delete what is not remembered any more."""
    IdempotencyRecord.objects.all_tenants().filter(created_at__lte=timezone.now() - _KEPT).delete()
