"""How is it kept that a chat's status changed, so that everybody who follows hears of each change?

The row counts its changes and holds the latest of them, each with the last message before it: who read the chat
before tells by the count which ones it has not heard of, and by the message when they were.
"""

from __future__ import annotations

from typing import Any

from chats.models import Chat

#: Changes that are kept. Between two readings of a chat that somebody follows lie moments, at worst a second.
KEPT = 20


def change_status(chat: Chat, status: str, *, after: int) -> dict[str, Any]:
    """Give the chat this status, `after` its message of that sequence; the fields to store, none without a change."""
    if status == chat.status:
        return {}
    chat.status = status
    chat.status_count += 1
    chat.recent_statuses = [*chat.recent_statuses[1 - KEPT :], [after, status]]
    return {"status": status, "status_count": chat.status_count, "recent_statuses": chat.recent_statuses}
