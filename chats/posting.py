"""How is a message accepted, so that what was acknowledged is never lost and owed exactly once?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chats import wake
from chats.appending import append
from chats.chats import open_chat
from chats.following import snapshot_after
from chats.models import Chat, Message, Reply
from chats.statuses import change_status
from chats.webhook_payloads import tell
from core.addresses import network_id
from core.db.statements import Insert, Param, Select
from core.errors import (
    INVALID_REQUEST,
    MESSAGE_LIMIT_REACHED,
    MESSAGE_TOO_LONG,
    RATE_LIMIT_EXCEEDED,
    ApiError,
    ErrorKind,
    invalid,
)
from core.observability import metrics, tracing
from core.payload import MAX_BYTES, check_metadata, fingerprint, text_problem
from core.refusals import refused
from tenants import credits
from tenants.limits import user_windows, visitor_message_windows
from tenants.models import EndUser, Tenant

_STATES_OF_OPEN: Select[str] = Select(
    lambda: (
        Reply.objects.for_tenant(Param("tenant_id"))
        .filter(chat_id=Param("chat_id"), state__in=Reply.OPEN)
        .values_list("state", flat=True)
    )
)
_INSERT_REPLY = Insert(Reply)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as a client gave it, its form already checked."""

    content: str
    metadata: dict[str, Any]
    client_message_id: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of content and metadata: what makes two drafts of one client_message_id the same."""
        return fingerprint([self.content, self.metadata])


@dataclass(frozen=True, slots=True)
class Posted:
    """A message that is in the database."""

    message: Message
    #: What answers it; None in an escalated chat.
    reply: Reply | None
    #: Whether it was there before.
    repeated: bool = False


def read_draft(content: object, metadata: object, client_message_id: str | None, *, name: str = "content") -> Draft:
    """A message whose form is right. Raises ApiError INVALID_REQUEST; `name` is what the face calls its text."""
    if problem := text_problem(content, longest=MAX_BYTES):
        raise invalid(**{name: problem})
    return Draft(str(content), check_metadata(metadata), client_message_id)


@tracing.spanned("post")
@transaction.atomic
def post_message(
    *,
    tenant: Tenant,
    chat_id: object,
    user: EndUser | None,
    draft: Draft,
    process_id: uuid.UUID | None,
    conversations_only: bool = False,
    of_end_user: bool = False,
    network: str | None = None,
    conflict: ErrorKind = INVALID_REQUEST,
) -> Posted:
    """Save a message of the user (None: whom the chat was made for), and what is owed for it.

    With `process_id` its reply is claimed for that process if none runs. Reads tenant.account.
    Raises ApiError CHAT_NOT_FOUND, INVALID_REQUEST, MESSAGE_TOO_LONG, MESSAGE_LIMIT_REACHED,
    RATE_LIMIT_EXCEEDED (too many wait or, of an end user or a visitor's address, were sent within a
    minute) or PAYMENT_REQUIRED; then nothing is stored. `network` is the address of a visitor of the
    page, where it is bounded; `conflict` is what an old client_message_id with other
    content is called.
    """
    chat = open_chat(tenant_id=tenant.id, chat_id=chat_id, conversations_only=conversations_only, locked=True)
    user = user or chat.user
    if draft.client_message_id is not None and (posted := _find_repeat(chat, user, draft, conflict)):
        return posted

    _check_limits(tenant, chat, draft)
    if of_end_user:
        verdict = user_windows.count(user.id, tenant.user_messages_per_minute)
        if not verdict.allowed:
            metrics.LIMITS_HIT.labels("user_messages").inc()
            raise ApiError(RATE_LIMIT_EXCEEDED, "Too many messages in one minute", retry_after=verdict.reset)
    if network is not None and settings.VISITOR_MESSAGES_PER_MINUTE:
        verdict = visitor_message_windows.count(network_id(network), settings.VISITOR_MESSAGES_PER_MINUTE)
        if not verdict.allowed:
            refused("visitor_messages", address=network)
            problem = f"Too many messages came from your address. Try again in {verdict.reset} seconds"
            raise ApiError(RATE_LIMIT_EXCEEDED, problem, retry_after=verdict.reset)
    answered = chat.status != Chat.Status.ESCALATED
    states = _STATES_OF_OPEN.all(tenant_id=tenant.id, chat_id=chat.id)
    if answered and states.count(Reply.State.QUEUED) >= tenant.queue_depth and states:
        metrics.LIMITS_HIT.labels("queue").inc()
        raise ApiError(RATE_LIMIT_EXCEEDED, "Too many messages of this chat wait for a reply", retry_after=1)
    reserved = credits.reserve(tenant=tenant, needed=answered)

    now = timezone.now()
    message = Message(
        tenant_id=tenant.id,
        chat=chat,
        role=Message.Role.USER,
        user=user,
        content=draft.content,
        metadata=draft.metadata,
        client_message_id=draft.client_message_id,
        digest=draft.digest if draft.client_message_id is not None else "",
        created_at=now,
    )
    changes: dict[str, Any] = {}
    if chat.status == Chat.Status.CLOSED:
        changes = change_status(chat, Chat.Status.ACTIVE, after=chat.last_sequence + 1)
    append(chat, message, **changes)
    reply = None
    if answered:
        reply = Reply(tenant=tenant, chat=chat, question=message, reserved=reserved, created_at=now)
        if process_id is not None and not states:
            reply.state, reply.owner_id, reply.tries, reply.started_at = Reply.State.RUNNING, process_id, 1, now
        _INSERT_REPLY.run(reply)
    tell(chat, said=message)
    begun = reply if reply is not None and reply.state == Reply.State.RUNNING else None
    # Which reply runs where others are open, only a reading tells.
    wake.after_commit(chat.id, snapshot=None if states else snapshot_after(chat, message, begun))
    return Posted(message, reply)


def _find_repeat(chat: Chat, user: EndUser, draft: Draft, conflict: ErrorKind) -> Posted | None:
    messages = Message.objects.for_tenant(chat.tenant_id).select_related("user", "reply")
    message = messages.filter(chat=chat, user=user, client_message_id=draft.client_message_id).first()
    if message is None:
        return None
    if message.digest != draft.digest:
        problem = "was used for a message with other content or metadata"
        raise ApiError(conflict, f"This client_message_id {problem}", fields={"client_message_id": problem})
    return Posted(message, getattr(message, "reply", None), repeated=True)


def _check_limits(tenant: Tenant, chat: Chat, draft: Draft) -> None:
    if len(draft.content) > tenant.message_max_characters:
        raise ApiError(
            MESSAGE_TOO_LONG,
            f"The message has {len(draft.content)} characters; at most {tenant.message_max_characters} are allowed",
        )
    limit = tenant.message_limit
    if limit is None and chat.is_conversation:
        limit = Tenant.CONVERSATION_MESSAGE_LIMIT
    if limit is not None and chat.user_message_count >= limit:
        metrics.LIMITS_HIT.labels("conversation").inc()
        raise ApiError(MESSAGE_LIMIT_REACHED, f"This conversation has reached its limit of {limit} messages")
