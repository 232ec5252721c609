"""What does the AsyncAPI document say of the WebSocket? Its shapes and errors are those of the other document."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from chats.fields import MAX_OFFSET
from lexicon.documents.events import CLIENT_MESSAGE_ID, EVENTS, FRAMES, close_codes
from lexicon.documents.shapes import COMPONENTS, ERROR_DETAILS, STRING, TIMESTAMP, USER_ID, UUID, constant, fields

_ABOUT = """One WebSocket is one user on one chat. Its parameters are in the query or in headers; a header wins. With a
chat token (`?token=`), which names them, `user_id` and `chat_id` may be left out. `after` first replays what came
after that sequence, at most 500 messages, and then says `replay_ended`.

A refused connection is accepted, told why in one `error` event, and closed with the error's code (`x-close-codes`),
the error's name as its reason. Frames are JSON objects; a bad one is answered with one `error`, and the socket stays
open. Events may get further fields, and there may be further events; ignore what you do not know."""


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    public = urlsplit(settings.PUBLIC_URL)
    messages = {name: _event(name) for name in EVENTS} | {name: _frame(name) for name in FRAMES}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lexicon",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "Apache 2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": public.netloc,
                "protocol": "wss" if public.scheme == "https" else "ws",
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY],
            }
        },
        "channels": {
            "chat": {
                "address": "/ws/chat",
                "description": "Closed with these codes: see `x-close-codes`.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "query": _QUERY, "headers": _HEADERS, "bindingVersion": "0.1.0"}},
                "x-close-codes": {str(code): meaning for code, meaning in close_codes().items()},
            }
        },
        "operations": {
            "sendEvents": _operation("send", "What the server tells.", EVENTS),
            "receiveFrames": _operation("receive", "What a client may say.", FRAMES),
        },
        "components": {
            "schemas": {
                "ErrorDetails": _ERROR_DETAILS,
                "ReplyMetadata": COMPONENTS["ReplyMetadata"],
                "Json": COMPONENTS["Json"],
            },
            "messages": messages,
            "securitySchemes": _SECURITY,
        },
    }


def _event(name: str) -> dict[str, Any]:
    summary, required, optional = EVENTS[name]
    always = {"event_type": constant(name), "timestamp": TIMESTAMP}
    return {"summary": summary, "payload": fields({**always, **required}, optional)}


def _frame(name: str) -> dict[str, Any]:
    summary, payload, example = FRAMES[name]
    return {"summary": summary, "payload": payload, "examples": [{"payload": example}]}


def _operation(action: str, summary: str, names: Any) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/chat"},
        "messages": [{"$ref": f"#/channels/chat/messages/{name}"} for name in names],
    }


_ERROR_DETAILS = fields(
    {"fix": ERROR_DETAILS["properties"]["fix"]},
    {**ERROR_DETAILS["properties"], "client_message_id": CLIENT_MESSAGE_ID},
)
_QUERY = fields(
    {},
    {
        "api_key": STRING,
        "token": STRING,
        "user_id": USER_ID,
        "chat_id": UUID,
        "after": {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "description": "The last sequence you have."},
    },
)
_HEADERS = fields({}, {"X-API-Key": STRING, "X-User-ID": USER_ID, "X-Chat-ID": UUID})
_SECURITY = {
    "tenantKey": {"type": "httpApiKey", "name": "X-API-Key", "in": "header", "description": "A tenant key."},
    "tenantKeyInQuery": {"type": "httpApiKey", "name": "api_key", "in": "query", "description": "The same."},
    "chatToken": {
        "type": "httpApiKey",
        "name": "token",
        "in": "query",
        "description": "A chat token, for browsers. A page's Origin must be this server's or on the tenant's list.",
    },
}
