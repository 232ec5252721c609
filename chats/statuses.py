"""How is it kept that a chat's status changed, so that everybody who follows hears of each change?

The row counts its changes and holds the latest of them, each with the last message before it: who read the chat
before tells by the count which ones it has not heard of, and by the message when they were.
"""

from __future__ import annotations

from typing import Any

from chats.models import Chat

#: Changes that are kept. Between two readings of a chat that somebody follows lie moments, at worst a second.
KEPT = 20


#: Longest reason, in characters: a few lines for staff. A model writes its own.
REASON_CHARACTERS = 500


def change_status(chat: Chat, status: str, *, after: int, reason: str = "") -> dict[str, Any]:
    """Give the chat this status, `after` its message of that sequence; the fields to store, none without a change.

    `reason` says why a person should take over. It goes with the next change.
    """
    if status == chat.status:
        return {}
    chat.status = status
    chat.status_count += 1
    chat.recent_statuses = [*chat.recent_statuses[1 - KEPT :], [after, status]]
    chat.escalation_reason = reason
    return {
        "status": status,
        "status_count": chat.status_count,
        "recent_statuses": chat.recent_statuses,
        "escalation_reason": reason,
    }


def fit_reason(reason: str) -> str:
    """A reason as it can be stored: what no database takes is left out, and what is too long."""
    return reason.replace("\0", "").encode("utf-8", "ignore").decode().strip()[:REASON_CHARACTERS]
