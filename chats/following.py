"""Where does a chat stand, for those who follow it?"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import FilteredRelation, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from chats.chats import open_chat
from chats.models import Chat, Checkpoint, Message, Reply
from core.db.statements import Param, Select

#: Most messages read at once; who is further behind reads again.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Running:
    """The reply that is being written."""

    reply_id: uuid.UUID
    epoch: int
    owner_id: uuid.UUID | None
    question_id: uuid.UUID
    #: The external id of the user it answers.
    user_id: str


@dataclass(frozen=True, slots=True)
class ChatSnapshot:
    """A chat at one moment: read by one statement, but for the messages, which never change, or under its lock."""

    tenant_id: uuid.UUID
    status: str
    status_count: int
    #: The latest changes of the status, each as [last sequence before it, status].
    recent_statuses: list[tuple[int, str]]
    last_sequence: int
    running: Running | None
    messages: list[Message]

    @property
    def is_behind(self) -> bool:
        """Whether more messages follow than were read."""
        return bool(self.messages) and self.messages[-1].sequence < self.last_sequence

    def follows(self, sequence: int | None) -> bool:
        """Whether its messages are all that came after that of this sequence."""
        return bool(self.messages) and self.messages[0].sequence - 1 == sequence


def snapshot_after(chat: Chat, message: Message, reply: Reply | None) -> ChatSnapshot:
    """Where the chat stands with its new message and the reply that runs, if any. Reads message.user.

    The chat's lock is held until all of it is committed, and `chat` is as it is then.
    """
    running = None
    if reply is not None:
        running = Running(reply.id, reply.epoch, reply.owner_id, message.id, message.user.external_id)
    return ChatSnapshot(
        chat.tenant_id,
        chat.status,
        chat.status_count,
        chat.recent_statuses,
        chat.last_sequence,
        running,
        [message],
    )


def read_snapshot(*, chat_id: uuid.UUID, after: int | None) -> ChatSnapshot | None:
    """Where the chat stands, with the messages after a sequence (None: no messages); None where it is gone."""
    row = _SNAPSHOT.first(chat_id=chat_id)
    if row is None:
        return None
    tenant_id, status, status_count, recent_statuses, last_sequence, *run = row
    running = Running(*run) if run[0] is not None else None
    messages: list[Message] = []
    if after is not None and after < last_sequence:
        messages = read_messages(tenant_id=tenant_id, chat_id=chat_id, after=after, upto=last_sequence)
    return ChatSnapshot(tenant_id, status, status_count, recent_statuses, last_sequence, running, messages)


def _with_run(chats: QuerySet[Chat]) -> Any:
    """The chats, each with the reply that runs in it as `run`."""
    return chats.annotate(run=FilteredRelation("replies", condition=Q(replies__state=Reply.State.RUNNING)))


_SNAPSHOT: Select[Any] = Select(
    lambda: _with_run(Chat.objects.all_tenants().filter(id=Param("chat_id"), deleted_at=None)).values_list(
        "tenant_id",
        "status",
        "status_count",
        "recent_statuses",
        "last_sequence",
        "run__id",
        "run__epoch",
        "run__owner_id",
        "run__question_id",
        "run__question__user__external_id",
    )
)


class Position(NamedTuple):
    """What tells whether anything happened in a chat: its last message, its changes of status, the try that runs."""

    last_sequence: int
    status_count: int
    reply_id: uuid.UUID | None
    epoch: int | None


def read_positions(chat_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Position]:
    """Where these chats stand; those that are gone are not in the answer."""
    chats = _with_run(Chat.objects.all_tenants().filter(id__in=chat_ids, deleted_at=None))
    rows = chats.values_list("id", "last_sequence", "status_count", "run__id", "run__epoch")
    return {chat_id: Position(*position) for chat_id, *position in rows}


def read_messages(*, tenant_id: uuid.UUID, chat_id: uuid.UUID, after: int, upto: int) -> list[Message]:
    """The messages after one sequence up to another, at most BATCH of them, each with its user."""
    return _MESSAGES.all(tenant_id=tenant_id, chat_id=chat_id, after=after, upto=upto)


_MESSAGES = Select(
    lambda: (
        Message.objects.for_tenant(Param("tenant_id"))
        .filter(chat_id=Param("chat_id"), sequence__gt=Param("after"), sequence__lte=Param("upto"))
        .select_related("user")
        .order_by("sequence")[:BATCH]
    )
)


@dataclass(frozen=True, slots=True)
class ReplyProgress:
    """Where one reply stands; content and metadata are those of one that has ended."""

    state: str
    epoch: int
    owner_id: uuid.UUID | None
    content: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


def read_reply(*, tenant_id: uuid.UUID, reply_id: uuid.UUID) -> ReplyProgress | None:
    """Where the reply stands; None where its chat is gone."""
    replies = Reply.objects.for_tenant(tenant_id).filter(id=reply_id, chat__deleted_at=None)
    row = replies.values_list("state", "epoch", "owner_id").first()
    if row is None:
        return None
    message = Message.objects.for_tenant(tenant_id).filter(id=reply_id).first()
    return ReplyProgress(*row) if message is None else ReplyProgress(*row, message.content, message.metadata)


def read_checkpoints(
    wanted: Mapping[tuple[uuid.UUID, int], int],
) -> dict[tuple[uuid.UUID, int], list[tuple[int, list[str]]]]:
    """The kept pieces of tries (reply and epoch) from a piece on, as (number of the first, pieces), in order."""
    kept: dict[tuple[uuid.UUID, int], list[tuple[int, list[str]]]] = {}
    for (reply_id, epoch), piece in wanted.items():
        rows = Checkpoint.objects.filter(reply_id=reply_id, epoch=epoch)
        holding = rows.filter(first_piece__lte=piece).order_by("-first_piece").values("first_piece")[:1]
        rows = rows.filter(first_piece__gte=Coalesce(Subquery(holding), 0)).order_by("first_piece")
        kept[reply_id, epoch] = list(rows.values_list("first_piece", "pieces"))
    return kept


def find_open_reply(
    *, tenant_id: uuid.UUID, conversation_id: object, reply_id: uuid.UUID | None = None
) -> Reply | None:
    """The reply of a conversation that runs or, where none does, waits longest; only `reply_id`, if given.

    Raises ApiError CHAT_NOT_FOUND.
    """
    chat = open_chat(tenant_id=tenant_id, chat_id=conversation_id, conversations_only=True)
    replies = Reply.objects.for_tenant(tenant_id).filter(chat=chat, state__in=Reply.OPEN)
    if reply_id is not None:
        replies = replies.filter(id=reply_id)
    # "running" sorts after "queued".
    return replies.order_by("-state", "question__sequence").first()
