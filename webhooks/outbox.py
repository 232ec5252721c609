"""How is an event kept, so that it is told exactly if what caused it is committed?

The code that causes an event calls `save` within the transaction. Telling it is another process's business, or this
one's a moment later: `listen` is how that moment is known.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.db import transaction

from core.db.statements import Param, Select
from core.payload import write_json
from webhooks.models import Delivery, Endpoint

#: An event and what makes its body, called only where somebody wants to know.
EventDraft = tuple[str, Callable[[], dict[str, Any]]]

_listeners: list[Callable[[], None]] = []

_HEARING: Select[tuple[uuid.UUID, list[str]]] = Select(
    lambda: (
        Endpoint.objects.for_tenant(Param("tenant_id")).filter(is_enabled=True).order_by().values_list("id", "events")
    )
)


def save(*, tenant_id: uuid.UUID, chat_id: uuid.UUID, events: list[EventDraft]) -> None:
    """Keep the events for those of the tenant's endpoints that asked for them. One query where it has none."""
    wanted = dict(_HEARING.all(tenant_id=tenant_id))
    deliveries = []
    for event, build in events:
        hearing = [endpoint_id for endpoint_id, names in wanted.items() if event in names]
        if hearing:
            body = write_json(build()).decode()
            deliveries += [
                Delivery(tenant_id=tenant_id, endpoint_id=endpoint_id, event=event, chat_id=chat_id, body=body)
                for endpoint_id in hearing
            ]
    if deliveries:
        Delivery.objects.bulk_create(deliveries)
        wake_after_commit()


def do_forget(*, tenant_id: uuid.UUID, chat_id: uuid.UUID) -> None:
    """A chat is deleted: what was kept of it goes too, told or not."""
    Delivery.objects.for_tenant(tenant_id).filter(chat_id=chat_id).delete()


def listen(listener: Callable[[], None]) -> None:
    """Call `listener` when something is to be told, in whatever thread committed it."""
    _listeners.append(listener)


def stop_listening(listener: Callable[[], None]) -> None:
    """Undo `listen`."""
    _listeners.remove(listener)


def wake_after_commit() -> None:
    """Tell who listens when the transaction is committed."""
    transaction.on_commit(_wake)


def _wake() -> None:
    for listener in tuple(_listeners):
        listener()
