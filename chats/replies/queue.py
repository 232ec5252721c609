"""Which reply of a chat is written, and which comes next? All of this needs the chat's lock."""

from __future__ import annotations

import uuid
from functools import partial

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from chats.models import Chat, Reply
from core.db.statements import Param, Select
from core.observability import metrics
from tenants import credits

_NEXT = Select(
    lambda: (
        Reply.objects.for_tenant(Param("tenant_id"))
        .filter(chat_id=Param("chat_id"), state=Reply.State.QUEUED)
        .order_by("question__sequence")[:1]
    )
)


def running(chat: Chat) -> QuerySet[Reply]:
    """The reply that is being written, as a query of at most one row."""
    return Reply.objects.for_tenant(chat.tenant_id).filter(chat=chat, state=Reply.State.RUNNING)


def claim_next(chat: Chat, process_id: uuid.UUID) -> Reply | None:
    """The oldest reply that waits, now running and owned by the process; None where none waits."""
    reply = _NEXT.first(tenant_id=chat.tenant_id, chat_id=chat.id)
    if reply is not None:
        mine = Reply.objects.for_tenant(chat.tenant_id)
        mine.filter(id=reply.id).update(
            state=Reply.State.RUNNING, owner_id=process_id, tries=F("tries") + 1, started_at=timezone.now()
        )
        reply.refresh_from_db(from_queryset=mine)
    return reply


def drop_queued(chat: Chat, *, begun_too: bool = False) -> None:
    """Nobody answers what waits any more; its reserves are given back.

    One that had begun before its process stopped still owes its readers an end: it is asked to stop
    instead, unless the chat goes with it (`begun_too`).
    """
    waiting = Reply.objects.for_tenant(chat.tenant_id).filter(chat=chat, state=Reply.State.QUEUED)
    if not begun_too:
        waiting.exclude(started_at=None).update(stop_requested=True)
        waiting = waiting.filter(started_at=None)
    reserves = waiting.filter(reserved=True).count()
    dropped = waiting.update(state=Reply.State.DROPPED, reserved=False, finished_at=timezone.now())
    transaction.on_commit(partial(metrics.REPLIES.labels("dropped").inc, dropped))
    credits.release(tenant_id=chat.tenant_id, replies=reserves)
