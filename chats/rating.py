"""What does the reader of a reply think of it?"""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import QuerySet

from chats.chats import open_chat, parse_id
from chats.models import Chat, Message
from core.errors import invalid


@transaction.atomic
def rate_message(*, tenant_id: uuid.UUID, chat_id: object, message_id: object, rating: str | None) -> Message:
    """Rate a reply of the agent, "up" or "down" (None: not rated any more), and answer it with its user.

    It is a view of the reply, not a part of the chat: no sequence and no date of the chat changes.
    Raises ApiError CHAT_NOT_FOUND, or INVALID_REQUEST where the chat has no such reply.
    """
    chat = open_chat(tenant_id=tenant_id, chat_id=chat_id)
    # The agent's replies answer a message; a person's answer the chat.
    replies = Message.objects.for_tenant(tenant_id).filter(chat=chat, reply_to__isnull=False)
    found = parse_id(message_id)
    if found is None or not replies.filter(id=found).update(rating=rating):
        raise invalid(message_id="is not a reply of the agent in this chat")
    return replies.select_related("user").get(id=found)


def rated_down(chats: QuerySet[Chat]) -> QuerySet[Chat]:
    """Those of the chats in which a reply is rated down."""
    rated = Message.objects.all_tenants().filter(rating=Message.Rating.DOWN)
    # Beginning at the few that are rated; asking of each chat whether it has one would read them all.
    return chats.filter(id__in=rated.values("chat_id"))
