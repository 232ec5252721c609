"""What does a chat or a message look like in an answer?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chats.chats import Page
from chats.models import Chat, Message


def chat_body(chat: Chat) -> dict[str, Any]:
    """A chat of the Lexicon face. Reads chat.user."""
    return {
        "id": chat.id,
        "user_id": chat.user.external_id,
        "tenant_id": chat.tenant_id,
        "title": chat.heading,
        "config": {"metadata": chat.metadata},
        "created_at": chat.created_at,
        "updated_at": chat.updated_at,
        "last_message_at": chat.last_message_at,
        "message_count": chat.last_sequence,
        "status": chat.status,
    }


def message_body(message: Message) -> dict[str, Any]:
    """A message of the Lexicon face. Reads message.user."""
    return {
        "id": message.id,
        "content": message.content,
        "sender_role": message.role,
        "media_type": None,
        "media_url": None,
        "created_at": message.created_at,
        "metadata": message.public_metadata,
        "sequence": message.sequence,
        "user_id": message.user.external_id,
        "reply_to": message.reply_to_id,
    }


def page_body(name: str, rows: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    """A page of a list, with where it stands in the whole."""
    return {name: rows, "total": page.total, "offset": page.offset, "limit": page.limit, "has_more": page.has_more}


def turn_body(role: str, content: str, created_at: datetime) -> dict[str, Any]:
    """A message of the customer face."""
    return {"role": role, "content": content, "createdAt": created_at}
