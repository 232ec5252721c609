"""How does a message come to stand at the end of its chat?"""

from __future__ import annotations

from typing import Any

from chats.models import Chat, Message
from core.db.statements import Insert, Param, Update

#: Characters of a chat's first message that title it, where nobody gave it a title.
TITLE_CHARACTERS = 60

_INSERT = Insert(Message)
_MOVE_ON = Update(
    lambda: Chat.objects.for_tenant(Param("tenant_id")).filter(id=Param("chat_id")),
    last_sequence=Param("last_sequence"),
    user_message_count=Param("user_message_count"),
    title=Param("title"),
    last_message_at=Param("now"),
    updated_at=Param("now"),
)


def append(chat: Chat, message: Message, **changes: Any) -> None:
    """Store a new message as the next one of its chat, with `changes` of the chat's other fields.

    Needs the chat's lock: a sequence has no gaps, and no number comes twice.
    """
    message.sequence = chat.last_sequence = chat.last_sequence + 1
    if message.role == Message.Role.USER:
        chat.user_message_count += 1
        chat.title = chat.title or message.content[:TITLE_CHARACTERS]
    chat.last_message_at = chat.updated_at = message.created_at
    _INSERT.run(message)
    _MOVE_ON.run(
        tenant_id=chat.tenant_id,
        chat_id=chat.id,
        last_sequence=chat.last_sequence,
        user_message_count=chat.user_message_count,
        title=chat.title,
        now=chat.updated_at,
    )
    if changes:
        Chat.objects.for_tenant(chat.tenant_id).filter(id=chat.id).update(**changes)
