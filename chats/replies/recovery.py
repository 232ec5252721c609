"""What becomes of the replies of a process that died, and what does a process keep so that another can go on?"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q
from django.utils import timezone

from agents.contract import Usage
from agents.rules import escalation_by_failure
from chats import wake
from chats.agent_context import count_unanswered, read_latest
from chats.models import Chat, Checkpoint, Process, Reply
from chats.replies.ending import Outcome, end_reply
from chats.replies.queue import claim_next, running
from core.observability import logs, metrics

logger = logging.getLogger(__name__)

#: The `finish_reason` of a reply that ended because its owners fell silent (CONTRACT, guarantee 4).
ABANDONED = "abandoned"
#: Most orphans of a kind that are found at once.
_MOST = 100


@dataclass(frozen=True, slots=True)
class Orphan:
    """A reply nobody works on."""

    tenant_id: uuid.UUID
    chat_id: uuid.UUID
    reply_id: uuid.UUID
    #: Whether it ran when its process fell silent, and so may be why.
    is_suspect: bool = False


def find_orphans(*, process_id: uuid.UUID, dead_owners_too: bool) -> list[Orphan]:
    """Replies to adopt: the heads of queues where nothing runs and, if asked, those of dead processes.

    The former come first, the longest waiting before the others. Of the latter those come first that were begun
    last: what was begun just before a process fell silent is the likeliest to have silenced it, and while it silences
    the next process, too, that one has adopted nothing else. A process never counts itself as dead.
    """
    replies = Reply.objects.all_tenants()
    beside = replies.filter(chat=OuterRef("chat"), state=Reply.State.RUNNING)
    heads = replies.filter(~Exists(beside), state=Reply.State.QUEUED).order_by("created_at")
    found = [Orphan(*row) for row in heads.values_list("tenant_id", "chat_id", "id")[:_MOST]]
    if dead_owners_too:
        dead = Q(owner=None) | ~Exists(Process.objects.living().filter(id=OuterRef("owner")))
        left = replies.filter(dead, ~Q(owner_id=process_id), state=Reply.State.RUNNING)
        left = left.order_by(F("started_at").desc(nulls_last=True))
        rows = left.values_list("tenant_id", "chat_id", "id")[:_MOST]
        found += [Orphan(*row, is_suspect=True) for row in rows]
    return found


@transaction.atomic
def adopt_orphan(*, orphan: Orphan, process_id: uuid.UUID) -> Reply | None:
    """The reply this process runs from now on in the orphan's chat; None where there is none (any more).

    One whose third try died, or on which two owners fell silent within a minute, ends as failed, one that was asked to
    stop ends as stopped, both with what the last checkpoint knows; then the chat's next reply is answered.
    """
    chats = Chat.objects.for_tenant(orphan.tenant_id).select_for_update(no_key=True)
    chat = chats.filter(id=orphan.chat_id).first()
    if chat is None:
        return None
    reply = running(chat).select_for_update(no_key=True).first()
    if reply is None:
        adopted = claim_next(chat, process_id)
        if adopted is None:
            return None
        wake.after_commit(chat.id)
        # It had begun before its process stopped, and was asked to stop since.
        return _end_for_the_dead(adopted, Reply.State.STOPPED, process_id) if adopted.stop_requested else adopted
    if reply.id != orphan.reply_id or reply.owner_id == process_id or _lives(reply.owner_id):
        return None
    transaction.on_commit(metrics.TAKEOVERS.inc)
    if reply.stop_requested or chat.deleted_at is not None:
        return _end_for_the_dead(reply, Reply.State.STOPPED, process_id)
    silent_at = _last_beat(reply.owner_id)
    if reply.tries >= Reply.MAX_TRIES or _is_near(reply.silent_at, silent_at):
        transaction.on_commit(partial(_tell_abandoned, reply))
        return _end_for_the_dead(reply, Reply.State.FAILED, process_id)
    running(chat).filter(id=reply.id).update(
        epoch=F("epoch") + 1,
        tries=F("tries") + 1,
        owner_id=process_id,
        silent_at=silent_at or reply.silent_at,
        started_at=timezone.now(),
    )
    reply.refresh_from_db(from_queryset=Reply.objects.for_tenant(orphan.tenant_id))
    wake.after_commit(chat.id)
    return reply


@dataclass(frozen=True, slots=True)
class CheckpointDelta:
    """Pieces of a reply's text that no checkpoint has yet."""

    reply_id: uuid.UUID
    epoch: int
    first_piece: int
    pieces: list[str]


@transaction.atomic
def do_checkpoint(*, process_id: uuid.UUID, said: list[CheckpointDelta]) -> None:
    """Keep what was said since the last time, of the replies this process still owns."""
    mine = Reply.objects.all_tenants().filter(owner_id=process_id, state=Reply.State.RUNNING)
    mine = mine.filter(id__in=[item.reply_id for item in said]).order_by("id").select_for_update(no_key=True)
    still_owned = set(mine.values_list("id", "epoch"))
    Checkpoint.objects.bulk_create(
        [
            Checkpoint(reply_id=item.reply_id, epoch=item.epoch, first_piece=item.first_piece, pieces=item.pieces)
            for item in said
            if (item.reply_id, item.epoch) in still_owned
        ],
        ignore_conflicts=True,
    )


def owned(*, process_id: uuid.UUID) -> list[Reply]:
    """The replies that run, by the database's word, in this process."""
    return list(Reply.objects.all_tenants().filter(owner_id=process_id, state=Reply.State.RUNNING))


def still_owns(*, tenant_id: uuid.UUID, reply_id: uuid.UUID, epoch: int, process_id: uuid.UUID) -> bool:
    """Whether the process still owns this try of the reply."""
    replies = Reply.objects.for_tenant(tenant_id).filter(id=reply_id, epoch=epoch, owner_id=process_id)
    return replies.filter(state=Reply.State.RUNNING).exists()


def checkpointed_text(reply: Reply) -> str:
    """The text of the reply's latest try, as far as checkpoints know it."""
    rows = Checkpoint.objects.filter(reply=reply)
    latest = rows.aggregate(epoch=Max("epoch"))["epoch"]
    pieces = rows.filter(epoch=latest).order_by("first_piece").values_list("pieces", flat=True)
    return "".join(piece for group in pieces for piece in group)


def _lives(process_id: uuid.UUID | None) -> bool:
    return process_id is not None and Process.objects.living().filter(id=process_id).exists()


def _last_beat(process_id: uuid.UUID | None) -> datetime | None:
    """When the process was last heard of; None where its row is gone: it left in good order, or a day ago."""
    if process_id is None:
        return None
    return Process.objects.filter(id=process_id).values_list("beat_at", flat=True).first()


def _is_near(before: datetime | None, now: datetime | None) -> bool:
    """Whether two owners fell silent so soon after each other that the reply is suspected of it."""
    return before is not None and now is not None and abs(now - before) <= Reply.SUSPECT_WITHIN


def _tell_abandoned(reply: Reply) -> None:
    metrics.ABANDONED.inc()
    logger.warning(
        "a reply is abandoned: its owners fell silent",
        extra=logs.fields(
            tenant_id=str(reply.tenant_id), chat_id=str(reply.chat_id), reply_id=str(reply.id), tries=reply.tries
        ),
    )


def _end_for_the_dead(reply: Reply, state: str, process_id: uuid.UUID) -> Reply | None:
    content = checkpointed_text(reply)
    # The dead owner's count is lost; a token is about four characters.
    cost = -(-len(content) // 4)
    metadata = {"model": reply.tenant.model or settings.AGENT_MODEL, "tokens_used": cost, str(state): True}
    escalate = None
    if state == Reply.State.FAILED:
        metadata["finish_reason"] = ABANDONED
        unanswered = count_unanswered(read_latest(reply.question))
        escalate = escalation_by_failure(unanswered=unanswered, after=reply.tenant.escalation_after)
    if escalate is not None:
        metadata["escalated"] = True
    ended = end_reply(
        tenant_id=reply.tenant_id,
        reply_id=reply.id,
        epoch=reply.epoch,
        outcome=Outcome(state, content, metadata, cost, escalate=escalate, usage=Usage(0, cost)),
        process_id=process_id,
    )
    return ended.next_reply
