"""What are endpoints told of a chat?

The bodies of webhooks (docs/webhooks.md). They are made within the transaction that caused the event, and only
where an endpoint of the tenant wants to know.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from chats.models import Chat, Message
from tenants.models import EndUser
from webhooks import outbox
from webhooks.models import Event

#: Messages that are told with an event about a whole chat, the latest, and most characters of them.
LATEST = 100
MOST_CHARACTERS = 200_000

#: Why a chat is with a person where staff took it over, rather than an agent giving it up.
TAKEN_OVER = "A person took the chat over"


def tell(chat: Chat, *, said: Message | None = None, escalated: str | None = None, closed: bool = False) -> None:
    """Keep what happened for the tenant's endpoints: a message, an escalation with its reason, a close.

    The chat is told as this object has it: its status is the one after the change.
    """
    events: list[outbox.EventDraft] = []
    if said is not None:
        events.append((Event.MESSAGE, lambda: _body(chat, Event.MESSAGE, [said], _about(said))))
    if escalated is not None:
        events.append((Event.ESCALATED, lambda: _body(chat, Event.ESCALATED, _latest(chat), {"reason": escalated})))
    if closed:
        events.append((Event.CLOSED, lambda: _body(chat, Event.CLOSED, _latest(chat), {})))
    if events:
        outbox.save(tenant_id=chat.tenant_id, chat_id=chat.id, events=events)


def _body(chat: Chat, event: str, messages: list[Message], payload: dict[str, Any]) -> dict[str, Any]:
    users = EndUser.objects.for_tenant(chat.tenant_id).filter(id=chat.user_id)
    user_id = users.values_list("external_id", flat=True).get()
    return {
        "event": event,
        "timestamp": timezone.now(),
        "conversation": {
            "id": chat.id,
            "status": chat.status,
            "customerIdentifier": user_id,
            "createdAt": chat.created_at,
            "metadata": chat.metadata,
        },
        "messages": [_message(message) for message in messages],
        "payload": payload,
    }


def _message(message: Message) -> dict[str, Any]:
    body = {
        "id": message.id,
        "sequence": message.sequence,
        "role": message.role,
        "content": message.content,
        "createdAt": message.created_at,
    }
    if message.metadata.get("author") == "human" and message.role == Message.Role.ASSISTANT:
        body |= {"author": "human", "authorName": message.metadata.get("author_name")}
    return body


def _about(message: Message) -> dict[str, Any]:
    return {"replyTo": message.reply_to_id, "metadata": message.metadata}


def _latest(chat: Chat) -> list[Message]:
    """The latest messages that say something, oldest first."""
    said = Message.objects.for_tenant(chat.tenant_id).filter(chat=chat).exclude(content="")
    room = MOST_CHARACTERS
    found: list[Message] = []
    for message in said.order_by("-sequence")[:LATEST]:
        room -= len(message.content)
        if room < 0 and found:
            break
        found.append(message)
    return found[::-1]
