"""Which chats wait for a person?"""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from chats.models import Chat, Message


def still_waiting(chats: QuerySet[Chat]) -> QuerySet[Chat]:
    """Those of the chats that were handed to a person and where a person did not have the last word."""
    # The agent's replies answer a message; a person's answer the chat.
    last_word = Message.objects.all_tenants().filter(chat=OuterRef("id"), sequence=OuterRef("last_sequence"))
    by_person = last_word.filter(role=Message.Role.ASSISTANT, reply_to=None)
    return chats.filter(~Exists(by_person), status=Chat.Status.ESCALATED)


def longest_waiting(most: int) -> list[Chat]:
    """At most so many chats that wait, the longest waiting first, with their users and tenants."""
    chats = Chat.objects.all_tenants().filter(deleted_at=None).select_related("tenant", "user")
    return list(still_waiting(chats).order_by("updated_at", "id")[:most])
