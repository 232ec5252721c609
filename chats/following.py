"""Where does a chat stand, for those who follow it?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db.models import FilteredRelation, Q

from chats.chats import open_chat
from chats.models import Chat, Message, Reply

#: Most messages read at once; who is further behind reads again.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Running:
    """The reply that is being written."""

    reply_id: uuid.UUID
    epoch: int
    question_id: uuid.UUID
    #: The external id of the user it answers.
    user_id: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A chat at one moment: all of it comes from one statement, but for the messages, which never change."""

    tenant_id: uuid.UUID
    status: str
    last_sequence: int
    running: Running | None
    messages: list[Message]

    @property
    def is_behind(self) -> bool:
        """Whether more messages follow than were read."""
        return bool(self.messages) and self.messages[-1].sequence < self.last_sequence


def read_standing(*, chat_id: uuid.UUID, after: int | None) -> Standing | None:
    """Where the chat stands, with the messages after a sequence (None: no messages); None where it is gone."""
    chats = Chat.objects.all_tenants().filter(id=chat_id, deleted_at=None)
    chats = chats.annotate(run=FilteredRelation("replies", condition=Q(replies__state=Reply.State.RUNNING)))
    row = chats.values_list(
        "tenant_id",
        "status",
        "last_sequence",
        "run__id",
        "run__epoch",
        "run__question_id",
        "run__question__user__external_id",
    ).first()
    if row is None:
        return None
    tenant_id, status, last_sequence, *run = row
    running = Running(*run) if run[0] is not None else None
    messages: list[Message] = []
    if after is not None and after < last_sequence:
        messages = read_messages(tenant_id=tenant_id, chat_id=chat_id, after=after, upto=last_sequence)
    return Standing(tenant_id, status, last_sequence, running, messages)


def read_messages(*, tenant_id: uuid.UUID, chat_id: uuid.UUID, after: int, upto: int) -> list[Message]:
    """The messages after one sequence up to another, at most BATCH of them, each with its user."""
    messages = Message.objects.for_tenant(tenant_id).filter(chat_id=chat_id, sequence__gt=after, sequence__lte=upto)
    return list(messages.select_related("user").order_by("sequence")[:BATCH])


@dataclass(frozen=True, slots=True)
class ReplyStanding:
    """Where one reply stands; content and metadata are those of one that has ended."""

    state: str
    epoch: int
    content: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


def read_reply(*, tenant_id: uuid.UUID, reply_id: uuid.UUID) -> ReplyStanding | None:
    """Where the reply stands; None where its chat is gone."""
    replies = Reply.objects.for_tenant(tenant_id).filter(id=reply_id, chat__deleted_at=None)
    row = replies.values_list("state", "epoch").first()
    if row is None:
        return None
    message = Message.objects.for_tenant(tenant_id).filter(id=reply_id).first()
    return ReplyStanding(*row) if message is None else ReplyStanding(*row, message.content, message.metadata)


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
