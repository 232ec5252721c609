"""How does a reply end, exactly once, however many try to end it?"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents.contract import Usage
from chats import wake
from chats.appending import append
from chats.deletion import do_remove
from chats.following import snapshot_after
from chats.models import Chat, Checkpoint, Message, Reply
from chats.replies.queue import claim_next, drop_queued, running
from chats.statuses import change_status, fit_reason
from chats.webhook_payloads import tell
from core.db.statements import Delete, Param, Select, Update
from core.observability import logs, metrics
from tenants import credits

logger = logging.getLogger(__name__)

NOTHING_USED = Usage(0, 0)

#: What a try's own reply never changes, and the chat, locked, as it is once nobody else holds its lock.
_LOCKED: Select[Reply] = Select(
    lambda: (
        Reply.objects.for_tenant(Param("tenant_id"))
        .filter(id=Param("reply_id"))
        .select_related("chat", "question__user")
        .select_for_update(no_key=True, of=("chat",))
    )
)
_CLOSE = Update(
    lambda: Reply.objects.for_tenant(Param("tenant_id")).filter(
        id=Param("reply_id"), epoch=Param("epoch"), state=Reply.State.RUNNING
    ),
    state=Param("state"),
    finished_at=Param("now"),
)
_FORGET_CHECKPOINTS = Delete(lambda: Checkpoint.objects.filter(reply_id=Param("reply_id")))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reply."""

    #: One of Reply.State's DONE, FAILED, STOPPED.
    state: str
    content: str
    metadata: dict[str, Any] = field(default_factory=dict)
    #: In credits.
    cost: int = 0
    #: Why a person should take over; None where the agent goes on.
    escalate: str | None = None
    #: What the cost is made of.
    usage: Usage = NOTHING_USED


@dataclass(frozen=True, slots=True)
class Ended:
    """How the end of a reply was received."""

    #: False where the fence held: somebody else owns the reply by now, or ended it.
    is_owned: bool
    #: The chat's status after it; None where the chat is gone.
    status: str | None = None
    #: What the same process answers next.
    next_reply: Reply | None = None


@transaction.atomic
def end_reply(
    *,
    tenant_id: uuid.UUID,
    reply_id: uuid.UUID,
    epoch: int,
    outcome: Outcome,
    process_id: uuid.UUID | None,
) -> Ended:
    """Store a reply as a message, settle its credits, and claim the chat's next one for `process_id`, if given.

    A second call with the same epoch (the first one's answer was lost) finds it done and answers the same.
    """
    reply = _LOCKED.first(tenant_id=tenant_id, reply_id=reply_id)
    if reply is None:
        # Its chat is gone.
        return Ended(is_owned=True)
    chat = reply.chat
    closed = _CLOSE.run(
        tenant_id=tenant_id, reply_id=reply_id, epoch=epoch, state=str(outcome.state), now=timezone.now()
    )
    if not closed:
        return _ended_before(chat, Reply.objects.for_tenant(tenant_id).filter(id=reply_id, epoch=epoch), process_id)

    if reply.reserved:
        credits.settle(tenant_id=tenant_id, reply_id=reply.id, cost=outcome.cost)
    transaction.on_commit(partial(_tell, reply, outcome))
    if chat.deleted_at is not None:
        wake.after_commit(chat.id)
        do_remove(chat)
        return Ended(is_owned=True)

    message = Message(
        id=reply.id,
        tenant_id=tenant_id,
        chat=chat,
        role=Message.Role.ASSISTANT,
        user=reply.question.user,
        content=outcome.content,
        metadata=outcome.metadata,
        reply_to=reply.question,
    )
    _FORGET_CHECKPOINTS.run(reply_id=reply.id)
    changes: dict[str, Any] = {}
    reason = fit_reason(outcome.escalate) if outcome.escalate is not None else None
    if reason is not None:
        # Somebody may have taken it over meanwhile; then it is no news.
        changes = change_status(chat, Chat.Status.ESCALATED, after=chat.last_sequence + 1, reason=reason)
    append(chat, message, **changes)
    next_reply = None
    if reason is not None:
        drop_queued(chat)
    elif process_id is not None:
        next_reply = claim_next(chat, process_id)
    tell(chat, said=message, escalated=reason if changes else None)
    wake.after_commit(chat.id, snapshot=snapshot_after(chat, message, None) if next_reply is None else None)
    return Ended(is_owned=True, status=chat.status, next_reply=next_reply)


def _tell(reply: Reply, outcome: Outcome) -> None:
    """Count the reply, and write it down."""
    seconds = (timezone.now() - (reply.started_at or reply.created_at)).total_seconds()
    metrics.reply_ended(
        state=str(outcome.state),
        seconds=seconds,
        input_tokens=outcome.usage.input_tokens,
        output_tokens=outcome.usage.output_tokens,
    )
    logger.info(
        "reply ended",
        extra=logs.fields(
            tenant_id=str(reply.tenant_id),
            chat_id=str(reply.chat_id),
            reply_id=str(reply.id),
            state=str(outcome.state),
            model=outcome.metadata.get("model"),
            tokens=outcome.cost,
            tries=reply.tries,
            milliseconds=round(seconds * 1000, 1),
        ),
    )


def _ended_before(chat: Chat, replies: Any, process_id: uuid.UUID | None) -> Ended:
    if not replies.exclude(state__in=Reply.OPEN).exists():
        return Ended(is_owned=False)
    # Whether those who follow the chat were woken then is not known either.
    wake.after_commit(chat.id)
    return Ended(is_owned=True, status=chat.status, next_reply=running(chat).filter(owner_id=process_id).first())
