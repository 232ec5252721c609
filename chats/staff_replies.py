"""What may staff do in a chat?"""

from __future__ import annotations

import uuid

from django.db import transaction

from chats import wake
from chats.appending import append
from chats.chats import open_chat
from chats.models import Message
from chats.replies.queue import running
from chats.webhook_payloads import tell


@transaction.atomic
def post_person_reply(*, tenant_id: uuid.UUID, chat_id: uuid.UUID, content: str, author_name: str) -> Message | None:
    """Save what a person answers; None while the agent's reply still runs, so that the two are not woven together.

    The chat must have been handed to a person before, or the agent might go on answering.
    """
    chat = open_chat(tenant_id=tenant_id, chat_id=chat_id, locked=True)
    if running(chat).exists():
        return None
    message = Message(
        tenant_id=tenant_id,
        chat=chat,
        role=Message.Role.ASSISTANT,
        user_id=chat.user_id,
        content=content,
        metadata={"author": "human", "author_name": author_name},
    )
    append(chat, message)
    tell(chat, said=message)
    wake.after_commit(chat.id)
    return message
