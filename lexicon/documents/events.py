"""Which events and frames go over the WebSocket, and with which errors and close codes?"""

from __future__ import annotations

from typing import Any

from core import errors
from lexicon.documents import examples
from lexicon.documents.shapes import (
    BOOLEAN,
    CONTENT,
    COUNT,
    METADATA,
    RATING,
    SEQUENCE,
    STATUS,
    STRING,
    TEXT_SAID,
    USER_ID,
    UUID,
    Schema,
    constant,
    either_null,
    error_fields,
    fields,
    ref,
    said,
)

CLIENT_MESSAGE_ID: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "Your id of the message: sent again, it is the same message, acknowledged again.",
}

#: What may be told on a WebSocket, whether it stays open or not.
SOCKET_ERRORS = tuple(
    kind
    for kind in errors.ERRORS
    if kind.close is not None
    or kind
    in (
        errors.NOT_FOUND,
        errors.MESSAGE_TOO_LONG,
        errors.MESSAGE_LIMIT_REACHED,
        errors.PAYMENT_REQUIRED,
        errors.AGENT_ERROR,
    )
)
#: Close codes that stand for more, or for something else, than an error of the table.
_OTHER_CLOSES = {
    1007: "a text frame was not UTF-8",
    1008: "more than 100 control frames (ping, pong) in a second, or more than 20,000 fragments in a message",
    1012: "the server stops, and the reply being written has ended or takes too long: connect again, with `after`",
    1013: "also SLOW_READER: the client reads too slowly; connect again, with `after`",
    4404: "also NOT_FOUND: there is no WebSocket at this address",
    4429: "also CONNECTION_LIMIT_EXCEEDED: the tenant, or a visitor's address, has as many open as it may",
}

_IDS = {"message_id": UUID, "chat_id": UUID, "user_id": USER_ID}
_REPLY = {
    "message_id": said(UUID, "The reply's id, the same from its start into the history."),
    "chat_id": UUID,
    "user_id": said(USER_ID, "The user whose message it answers."),
    "reply_to": said(either_null(UUID), "The message it answers; null of a person's reply."),
}
_AUTHOR = {"author": said(constant("human"), "A person wrote it."), "author_name": STRING}
_RESUMED = {"const": True, "description": "The reply is told from its beginning: forget what was said of it."}

#: Event by event: what it tells, the fields that are always there, and those that may be.
EVENTS: dict[str, tuple[str, dict[str, Schema], dict[str, Schema]]] = {
    "connection_established": (
        "You are connected.",
        {"user_id": USER_ID, "chat_id": UUID, "tenant_id": UUID, "status": STATUS},
        {},
    ),
    "user_created": ("This connection made the user.", {"user_id": USER_ID}, {}),
    "message_received": (
        "A user's message is stored. Every connection of the chat hears of it, by whatever way it came.",
        {**_IDS, "content": TEXT_SAID, "sequence": SEQUENCE},
        {"client_message_id": CLIENT_MESSAGE_ID},
    ),
    "message_stream_started": (
        "A reply begins, or is told from its beginning again.",
        _REPLY,
        {"resumed": _RESUMED, **_AUTHOR},
    ),
    "message_stream_token": (
        "The next characters of the reply.",
        {
            "message_id": UUID,
            "chat_id": UUID,
            "token": STRING,
            "offset": said(COUNT, "Characters of the reply before these."),
        },
        {},
    ),
    "message_stream_ended": (
        "The reply is in the history. `content` is its tokens joined.",
        {**_REPLY, "content": TEXT_SAID, "sequence": SEQUENCE, "metadata": ref("ReplyMetadata")},
        {
            "stopped": {"const": True, "description": "It was stopped."},
            "failed": {"const": True, "description": "It failed; an `error` came before."},
            **_AUTHOR,
        },
    ),
    "chat_status_changed": ("Somebody else answers from now on.", {"chat_id": UUID, "status": STATUS}, {}),
    "replay_ended": (
        "What `after` asked for was told.",
        {"complete": said(BOOLEAN, "false: read on in the history, from `offset` = the last sequence received.")},
        {},
    ),
    "message_rated": (
        "What you think of a reply is stored. Only who said it is told.",
        {"chat_id": UUID, "message_id": said(UUID, "The reply's id."), "rating": either_null(RATING)},
        {},
    ),
    "pong": ("The answer to a ping.", {}, {}),
    "error": (
        "Something was refused, or failed.",
        error_fields([kind.code for kind in SOCKET_ERRORS]),
        {},
    ),
}

#: What a client may say.
FRAMES: dict[str, tuple[str, Schema, Any]] = {
    "message": (
        "Something the user says.",
        fields({"content": CONTENT}, {"metadata": METADATA, "client_message_id": CLIENT_MESSAGE_ID}),
        {"content": examples.QUESTION, "client_message_id": "m-1"},
    ),
    "stop": (
        "Stop the reply being written; with `message_id` only that one.",
        fields({"action": constant("stop")}, {"message_id": STRING}),
        {"action": "stop"},
    ),
    "rate": (
        "What the user thinks of a reply of the agent; null takes it back. `metadata.rating` tells it from then on.",
        fields({"action": constant("rate"), "message_id": STRING, "rating": either_null(RATING)}),
        {"action": "rate", "message_id": examples.REPLY_ID, "rating": "up"},
    ),
    "ping": (
        "Are you there?",
        {"anyOf": [fields({name: constant("ping")}) for name in ("action", "type", "event_type")], "type": "object"},
        {"action": "ping"},
    ),
}


def close_codes() -> dict[int, str]:
    """What each close code says: the names of the errors it stands for, and what else."""
    codes: dict[int, str] = {}
    for kind in errors.ERRORS:
        if kind.close is not None:
            codes.setdefault(kind.close, kind.code)
    for code, other in _OTHER_CLOSES.items():
        codes[code] = f"{codes[code]}; {other}" if code in codes else other
    return dict(sorted(codes.items()))
