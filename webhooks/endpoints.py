"""What may staff do with endpoints and what is to be told to them?"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from core.payload import write_json
from tenants.models import Tenant
from webhooks.models import Delivery, Endpoint, Event
from webhooks.outbox import wake_after_commit
from webhooks.signing import GRACE_HOURS, new_secret


def do_create_endpoint(*, tenant: Tenant, url: str, events: list[str], **fields: Any) -> Endpoint:
    """An endpoint with a new secret, in its `secret`. The address was checked (`core.outbound.check_url`)."""
    return Endpoint.objects.create(tenant=tenant, url=url, events=events, secret=new_secret(), **fields)


def do_rotate(endpoint: Endpoint) -> None:
    """Give it a new secret; the one of before signs too for `GRACE_HOURS`."""
    endpoint.previous_secret, endpoint.secret = endpoint.secret, new_secret()
    endpoint.previous_until = timezone.now() + timedelta(hours=GRACE_HOURS)
    endpoint.save(update_fields=["secret", "previous_secret", "previous_until"])


@transaction.atomic
def do_test(endpoint: Endpoint) -> Delivery:
    """Keep an event that says nothing, to see whether it arrives."""
    body = {
        "event": Event.TEST,
        "timestamp": timezone.now(),
        "conversation": None,
        "messages": [],
        "payload": {"reason": "A member of staff sent this to see whether it arrives."},
    }
    wake_after_commit()
    return Delivery.objects.create(
        tenant_id=endpoint.tenant_id, endpoint=endpoint, event=Event.TEST, body=write_json(body).decode()
    )


@transaction.atomic
def do_send_again(deliveries: QuerySet[Delivery]) -> int:
    """Tell these once more, their schedule from its beginning: how many.

    Those of endpoints that are switched off are left as they are.
    """
    wake_after_commit()
    enabled = Endpoint.objects.all_tenants().filter(is_enabled=True)
    return deliveries.filter(endpoint__in=enabled.values("id")).update(
        state=Delivery.State.PENDING, attempts=0, next_attempt_at=Now(), finished_at=None
    )


def dead_letters(endpoint_ids: list[uuid.UUID]) -> QuerySet[Delivery]:
    """What did not reach these endpoints, and is tried no more."""
    return Delivery.objects.all_tenants().filter(endpoint_id__in=endpoint_ids, state=Delivery.State.DEAD)
