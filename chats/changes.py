"""How does a chat's title, metadata or status change?"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone

from chats import wake
from chats.chats import open_chat
from chats.models import Chat
from chats.replies.queue import drop_queued, running
from chats.statuses import change_status
from chats.webhook_payloads import TAKEN_OVER, tell


@transaction.atomic
def change_chat(*, tenant_id: uuid.UUID, chat_id: object, status: str | None = None, **fields: Any) -> Chat:
    """Change `title`, `metadata` or `status`, whichever is given, and answer the chat.

    A chat handed to a person ("escalated") answers nothing that waits, and its running reply is asked to
    stop; handed back ("active"), it answers what comes after. Raises ApiError CHAT_NOT_FOUND.
    """
    chat = open_chat(tenant_id=tenant_id, chat_id=chat_id, locked=True)
    if status is not None and (changes := change_status(chat, status, after=chat.last_sequence)):
        fields |= changes
        if status == Chat.Status.ESCALATED:
            drop_queued(chat)
            running(chat).update(stop_requested=True)
        wake.after_commit(chat.id, owner_asked=True)
    if fields:
        fields["updated_at"] = timezone.now()
        for name, value in fields.items():
            setattr(chat, name, value)
        Chat.objects.for_tenant(tenant_id).filter(id=chat.id).update(**fields)
    if "status" in fields:
        escalated = TAKEN_OVER if status == Chat.Status.ESCALATED else None
        tell(chat, escalated=escalated, closed=status == Chat.Status.CLOSED)
    return chat
