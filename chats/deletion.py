"""How does a chat go, for good?"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from chats import wake
from chats.chats import open_chat
from chats.models import Chat, Checkpoint, Connection, Message, Process, Reply
from chats.replies.queue import drop_queued, running
from core.errors import CHAT_IN_USE, ApiError
from webhooks import outbox


@transaction.atomic
def delete_chat(*, tenant_id: uuid.UUID, chat_id: object, force: bool = False) -> tuple[uuid.UUID, datetime]:
    """Delete a chat for good: its id, and when.

    Where a reply runs, its owner is asked to stop, and removes the chat when it has settled what was
    said; from now on nobody sees the chat. Raises ApiError CHAT_NOT_FOUND, or CHAT_IN_USE while a
    WebSocket is open on it on a living process.
    """
    chat = open_chat(tenant_id=tenant_id, chat_id=chat_id, locked=True)
    connections = Connection.objects.for_tenant(tenant_id).filter(chat=chat, process__in=Process.objects.living())
    if not force and connections.exists():
        raise ApiError(CHAT_IN_USE)
    now = timezone.now()
    drop_queued(chat, begun_too=True)
    if running(chat).update(stop_requested=True):
        Chat.objects.for_tenant(tenant_id).filter(id=chat.id).update(deleted_at=now)
    else:
        do_remove(chat)
    wake.after_commit(chat.id, owner_asked=True)
    return chat.id, now


def exists(*, chat_id: uuid.UUID) -> bool:
    """Whether the chat's row is still there, deleted or not."""
    return Chat.objects.all_tenants().filter(id=chat_id).exists()


def do_remove(chat: Chat) -> None:
    """Remove the chat's rows, by table: Django's collector would load each of them first."""
    outbox.do_forget(tenant_id=chat.tenant_id, chat_id=chat.id)
    replies = Reply.objects.for_tenant(chat.tenant_id).filter(chat=chat)
    for rows in (
        Checkpoint.objects.filter(reply__in=replies.values("id")),
        replies,
        Message.objects.for_tenant(chat.tenant_id).filter(chat=chat),
        Connection.objects.for_tenant(chat.tenant_id).filter(chat=chat),
        Chat.objects.for_tenant(chat.tenant_id).filter(id=chat.id),
    ):
        rows._raw_delete(rows.db)
