"""What does an endpoint of a tenant receive? The webhooks of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from lexicon.documents.shapes import (
    ROLE,
    SEQUENCE,
    STATUS,
    STRING,
    TEXT_SAID,
    TIMESTAMP,
    USER_ID,
    UUID,
    Schema,
    constant,
    either_null,
    fields,
    said,
)
from webhooks.models import Event

_ANY_OBJECT: Schema = {"type": "object", "additionalProperties": True}
_CONVERSATION = fields(
    {
        "id": UUID,
        "status": STATUS,
        "customerIdentifier": USER_ID,
        "createdAt": TIMESTAMP,
        "metadata": _ANY_OBJECT,
    }
)
_MESSAGE = fields(
    {"id": UUID, "sequence": SEQUENCE, "role": ROLE, "content": TEXT_SAID, "createdAt": TIMESTAMP},
    {"author": constant("human"), "authorName": said(STRING, "Of a person's reply.")},
)
_REASON = fields({"reason": said(STRING, "Why a person should take over.")})
_ABOUT_MESSAGE = fields(
    {"replyTo": said(either_null(UUID), "The message a reply answers."), "metadata": _ANY_OBJECT},
)

#: What is said of each event, and what its payload is.
TOLD: dict[str, tuple[str, Schema]] = {
    Event.MESSAGE.value: (
        "Somebody said something: a user, the agent or a person. `messages` holds it.",
        _ABOUT_MESSAGE,
    ),
    Event.ESCALATED.value: ("A person has to take over. `messages` is the latest of the chat.", _REASON),
    Event.CLOSED.value: ("A chat was closed. `messages` is the latest of it.", fields({})),
}

_HEADERS = {
    "webhook-id": "The same at each attempt: who has seen it before forgets it.",
    "webhook-timestamp": "Of this attempt, in seconds since 1970.",
    "webhook-signature": "Standard Webhooks: `v1,` and a signature in base64; several, separated by spaces.",
    "X-Lexicon-Signature": "`sha256=` and the HMAC-SHA256 of the raw body in hex.",
}


def body(event: str) -> Schema:
    """The shape of an event's body."""
    return fields(
        {
            "event": constant(str(event)),
            "timestamp": TIMESTAMP,
            "conversation": _CONVERSATION,
            "messages": {"type": "array", "items": _MESSAGE},
            "payload": TOLD[event][1],
        }
    )


def webhooks() -> dict[str, Any]:
    """All of them, by their name."""
    return {event: {"post": _post(event)} for event in TOLD}


def _post(event: str) -> dict[str, Any]:
    return {
        "summary": event,
        "description": TOLD[event][0],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": STRING}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body(event)}}},
        "responses": {
            "2XX": {"description": "It arrived."},
            "410": {"description": "Nothing more is sent here: the endpoint is switched off."},
            "default": {"description": "It is sent again later. Redirects are not followed."},
        },
    }
