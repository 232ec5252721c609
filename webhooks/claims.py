"""Which deliveries does a process send now, and what became of them?

Taking one moves its next attempt past the longest time an attempt may take, on the database's clock. Then no
other process takes it meanwhile, and of a process that dies nothing is left to clean up. The number of the
attempt is the fence: what became of an earlier one is not written any more.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from core.db.fields import Unreadable
from webhooks.models import Delivery, Endpoint
from webhooks.schedule import delay_after

logger = logging.getLogger(__name__)

#: Longest that an attempt takes in all, in seconds.
ATTEMPT_SECONDS = 10.0
#: Deliveries of one endpoint that a process sends at once: a slow one holds up itself.
OF_ONE_ENDPOINT = 4
#: How long deliveries are kept, whatever became of them.
KEPT_DAYS = 30
#: Rows that are buried or forgotten with one statement.
AT_A_TIME = 1000


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery this process sends now."""

    tenant_id: uuid.UUID
    endpoint_id: uuid.UUID
    delivery_id: uuid.UUID
    webhook_id: str
    #: Which attempt this is, from 1.
    attempt: int
    url: str
    body: str
    #: What signs it, the newest first; empty where it can not be read.
    secrets: list[str]


def claim_due(*, sending: Mapping[uuid.UUID, int], most: int) -> list[Claim]:
    """Take up to `most` deliveries whose time has come, the longest waiting of each endpoint first.

    `sending` says how many of each endpoint this process sends already.
    """
    full = [endpoint_id for endpoint_id, count in sending.items() if count >= OF_ONE_ENDPOINT]
    due = Delivery.objects.all_tenants().filter(
        endpoint=OuterRef("id"), state=Delivery.State.PENDING, next_attempt_at__lte=Now()
    )
    endpoints = Endpoint.objects.all_tenants().filter(Exists(due), is_enabled=True).exclude(id__in=full)
    claims: list[Claim] = []
    # In no order: with more endpoints than room, each has its turn.
    for endpoint in endpoints.order_by("?")[:most]:
        room = min(OF_ONE_ENDPOINT - sending.get(endpoint.id, 0), most - len(claims))
        if room > 0:
            claims += _claim(endpoint, room)
    return claims


@transaction.atomic
def _claim(endpoint: Endpoint, most: int) -> list[Claim]:
    deliveries = Delivery.objects.for_tenant(endpoint.tenant_id)
    due = deliveries.filter(endpoint=endpoint, state=Delivery.State.PENDING, next_attempt_at__lte=Now())
    rows = list(due.select_for_update(skip_locked=True, no_key=True).order_by("next_attempt_at")[:most])
    lost_at = Now() + timedelta(seconds=ATTEMPT_SECONDS + settings.LEASE_SECONDS)
    deliveries.filter(id__in=[row.id for row in rows]).update(attempts=F("attempts") + 1, next_attempt_at=lost_at)
    return [
        Claim(
            tenant_id=endpoint.tenant_id,
            endpoint_id=endpoint.id,
            delivery_id=row.id,
            webhook_id=row.webhook_id,
            attempt=row.attempts + 1,
            url=endpoint.url,
            body=row.body,
            secrets=_signing(endpoint),
        )
        for row in rows
    ]


def _signing(endpoint: Endpoint) -> list[str]:
    graced = endpoint.previous_until is not None and endpoint.previous_until > timezone.now()
    found = [endpoint.secret, endpoint.previous_secret if graced else ""]
    # With an old one alone no receiver would know what to make of it.
    return [] if isinstance(found[0], Unreadable) else [s for s in found if s and not isinstance(s, Unreadable)]


def give_back(claims: list[Claim]) -> None:
    """The process stops before these were answered: another one may send them at once, as the same attempt."""
    for claim in claims:
        _current_attempt(claim).update(attempts=F("attempts") - 1, next_attempt_at=Now())


def save_delivered(claim: Claim, *, status: int) -> None:
    """It arrived."""
    _current_attempt(claim).update(
        state=Delivery.State.DELIVERED, last_status=status, last_error="", finished_at=timezone.now()
    )


@transaction.atomic
def save_failed(claim: Claim, *, status: int | None, error: str, gone: bool = False) -> None:
    """It did not arrive: it is tried again when its schedule says, or never.

    With `gone` the endpoint wants nothing any more. After the last attempt it is switched off too, unless
    something else arrived there meanwhile: then only this event is not taken.
    """
    delay = delay_after(claim.attempt)
    if delay is not None and not gone:
        _current_attempt(claim).update(next_attempt_at=Now() + delay, last_status=status, last_error=error)
        return
    why = error if gone else f"{error}; it was tried {claim.attempt} times over three days"
    died = _current_attempt(claim).update(
        state=Delivery.State.DEAD, last_status=status, last_error=why, finished_at=timezone.now()
    )
    logger.warning("webhook %s is dead: %s", claim.webhook_id, why)
    if died and (gone or not _arrived_since(claim)):
        _disable(claim, why)


def _arrived_since(claim: Claim) -> bool:
    deliveries = Delivery.objects.for_tenant(claim.tenant_id)
    begun = deliveries.filter(id=claim.delivery_id).values("created_at")
    others = deliveries.filter(endpoint_id=claim.endpoint_id, state=Delivery.State.DELIVERED)
    return others.filter(finished_at__gt=begun[:1]).exists()


def _disable(claim: Claim, why: str) -> None:
    endpoint = Endpoint.objects.for_tenant(claim.tenant_id).get(id=claim.endpoint_id)
    endpoint.is_enabled, endpoint.disabled_reason = False, f"{timezone.now():%Y-%m-%d %H:%M} UTC: {why}"
    endpoint.save(update_fields=["is_enabled", "disabled_reason"])
    _mark_dead(endpoint)
    logger.warning("endpoint %s is switched off: %s", claim.endpoint_id, why)


def _mark_dead(endpoint: Endpoint) -> bool:
    """What waits for an endpoint that was switched off is dead; whether some of it may be left."""
    deliveries = Delivery.objects.for_tenant(endpoint.tenant_id)
    waiting = deliveries.filter(endpoint=endpoint, state=Delivery.State.PENDING)
    ids = list(waiting.values_list("id", flat=True)[:AT_A_TIME])
    waiting.filter(id__in=ids).update(
        state=Delivery.State.DEAD,
        last_error=f"the endpoint was switched off: {endpoint.disabled_reason}"[:255],
        finished_at=timezone.now(),
    )
    return len(ids) == AT_A_TIME


def do_tidy() -> bool:
    """Bury what waits for endpoints that were switched off by themselves, and forget what is `KEPT_DAYS` old.

    Whether more is left: it takes no more than a statement may.
    """
    waiting = Delivery.objects.all_tenants().filter(endpoint=OuterRef("id"), state=Delivery.State.PENDING)
    off = Endpoint.objects.all_tenants().filter(Exists(waiting), is_enabled=False).exclude(disabled_reason="")
    left = any(_mark_dead(endpoint) for endpoint in off)
    old = Delivery.objects.all_tenants().filter(created_at__lt=timezone.now() - timedelta(days=KEPT_DAYS))
    ids = list(old.values_list("id", flat=True)[:AT_A_TIME])
    Delivery.objects.all_tenants().filter(id__in=ids).delete()
    return left or len(ids) == AT_A_TIME


def _current_attempt(claim: Claim):  # type: ignore[no-untyped-def]
    """The delivery, if this attempt is still its latest."""
    rows = Delivery.objects.for_tenant(claim.tenant_id)
    return rows.filter(id=claim.delivery_id, attempts=claim.attempt, state=Delivery.State.PENDING)
