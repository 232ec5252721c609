"""Which shapes does what is sent and received have, in the words of JSON Schema?

Bounds come from the code that checks them. Objects that are sent have no fields but these, which the
tests hold every recorded answer to; to clients the documents promise only that these are there.
"""

from __future__ import annotations

from typing import Any

from chats.fields import MAX_LIMIT, MAX_OFFSET
from chats.models import Chat, Message
from chats.tokens import LEAST_TTL_SECONDS, MOST_TTL_SECONDS, TTL_SECONDS
from core.errors import ErrorKind
from core.payload import MAX_METADATA_BYTES
from tenants.models import Tenant

Schema = dict[str, Any]


def fields(required: dict[str, Schema], optional: dict[str, Schema] | None = None, **more: Any) -> Schema:
    """An object with these fields."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        **({"required": list(required)} if required else {}),
        **more,
    }


def taken(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """A body with these fields; others are ignored, once they have passed the gate that everything passes."""
    return fields(required, optional, propertyNames=_WITHOUT_NUL, additionalProperties=ref("Json"))


def said(schema: Schema, description: str) -> Schema:
    """The schema, with what it means."""
    return {**schema, "description": description}


def either_null(schema: Schema) -> Schema:
    """The schema, or null."""
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **enum}


def ref(name: str) -> Schema:
    """One of `COMPONENTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def constant(value: Any) -> Schema:
    """This value and no other."""
    return {"const": value}


STRING: Schema = {"type": "string"}
_WITHOUT_NUL = {"pattern": r"^[^\u0000]*$"}
#: What core/payload.py lets in, as far as JSON Schema can say it.
JSON: Schema = {
    "description": "Any JSON without NUL, integers beyond 64 bits, or nesting deeper than 32.",
    "anyOf": [
        {"type": ["null", "boolean", "number"]},
        {"type": "string", **_WITHOUT_NUL},
        {"type": "array", "items": {"$ref": "#/components/schemas/Json"}},
        {
            "type": "object",
            "propertyNames": _WITHOUT_NUL,
            "additionalProperties": {"$ref": "#/components/schemas/Json"},
        },
    ],
}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SEQUENCE: Schema = {"type": "integer", "minimum": 1, "description": "The message's place in its chat: 1, 2, 3, …"}
UUID: Schema = {"type": "string", "format": "uuid"}
STREAM_ID: Schema = {"type": "string", "pattern": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9]{1,10}$"}
TIMESTAMP: Schema = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$",
    "examples": ["2026-01-31T09:30:00.250000Z"],
}
STATUS: Schema = {
    "type": "string",
    "enum": list(Chat.Status.values),
    "description": "Who answers: the agent (active), a person (escalated), nobody until the next message (closed).",
}
ROLE: Schema = {"type": "string", "enum": ["user", "assistant"]}
USER_ID: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    **_WITHOUT_NUL,
    "description": "The user's id in your own system. Any text without NUL; the user is made when unknown.",
    "examples": ["alice"],
}
TITLE: Schema = {
    "type": ["string", "null"],
    "maxLength": 255,
    **_WITHOUT_NUL,
    "description": "Without one: `New chat`, then the first 60 characters of the first message.",
}
METADATA: Schema = {
    "type": ["object", "null"],
    "description": f"Your own data, given back as it came. At most {MAX_METADATA_BYTES:,} bytes of compact JSON.",
    "propertyNames": _WITHOUT_NUL,
    "additionalProperties": {"$ref": "#/components/schemas/Json"},
    "examples": [{"plan": "gold"}],
}
CONTENT: Schema = {
    "type": "string",
    "minLength": 1,
    "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$",
    "description": (
        "What the user says: not only white space, without NUL and lone surrogates, at most "
        f"{Tenant._meta.get_field('message_max_characters').default:,} characters unless the tenant's limit is another."
    ),
    "examples": ["What are your business hours?"],
}
TEXT_SAID: Schema = {"type": "string", "description": "The text, as it came."}
RATING: Schema = {"type": "string", "enum": list(Message.Rating.values)}
AGENT_METADATA = fields(
    {
        "model": said(STRING, "Who wrote the reply."),
        "tokens_used": said(COUNT, "Input and output tokens of the reply."),
    },
    {
        "input_tokens": said(COUNT, "Tokens that the model was told, as it reports them, in all rounds of tools."),
        "output_tokens": said(COUNT, "Tokens that it wrote."),
        "first_token_ms": said(COUNT, "Milliseconds from asking the model to its first words, where there were any."),
        "total_ms": said(COUNT, "Milliseconds from asking the model to its end."),
        "finish_reason": said(
            STRING,
            "Why the reply ended where it did not simply finish; `length`: it was cut, `content_filter`: the model's "
            "provider would not let it go on, `abandoned`: the processes that wrote it died or hung.",
        ),
        "flagged": said(
            {"type": "string", "enum": ["instructions"]},
            "What staff should look at; `instructions`: the model gave its instructions away.",
        ),
        "stopped": {"const": True, "description": "The reply was stopped; content is what was said until then."},
        "failed": {"const": True, "description": "The reply failed; content is what was said until then."},
        "answered": {"const": False, "description": "The reply says that the agent does not know the answer."},
        "escalated": {"const": True, "description": "With this reply the agent handed the chat to a person."},
        "sources": {
            "type": "array",
            "items": fields({"id": UUID, "title": STRING}, {"url": said(STRING, "Where the original is.")}),
            "description": "The articles that the reply is drawn from.",
        },
        "rating": said(RATING, "What its reader thinks of it."),
    },
    title="Of a reply of the agent",
)
PERSON_METADATA = fields({"author": constant("human"), "author_name": STRING}, title="Of a reply of a person")

OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}
LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}
TTL: Schema = {
    "type": ["integer", "null"],
    "minimum": LEAST_TTL_SECONDS,
    "maximum": MOST_TTL_SECONDS,
    "default": TTL_SECONDS,
}

ERROR_DETAILS = fields(
    {"fix": said(STRING, "What to do about it.")},
    {
        "fields": {
            "type": "object",
            "additionalProperties": STRING,
            "description": "Each bad field, and what is wrong with it.",
        },
        "retry_after": said(COUNT, "Whole seconds to wait."),
    },
)


def error_fields(codes: list[str]) -> dict[str, Schema]:
    """The fields of a failure of the Lexicon face and of the WebSocket."""
    return {"error_code": {"type": "string", "enum": codes}, "error_message": STRING, "details": ref("ErrorDetails")}


def failure(kinds: list[ErrorKind], *, customer: bool) -> Schema:
    """The body of a failure that is one of these."""
    codes = [kind.code for kind in kinds]
    if customer:
        return fields({"error": STRING, "code": {"type": "string", "enum": codes}})
    return fields(error_fields(codes))


def page(name: str, of: str) -> Schema:
    """A part of a list, and where it stands in the whole."""
    rows = {"type": "array", "items": ref(of), "maxItems": MAX_LIMIT}
    return fields({name: rows, "total": COUNT, "offset": OFFSET, "limit": LIMIT, "has_more": BOOLEAN})


COMPONENTS: dict[str, Schema] = {
    "Chat": fields(
        {
            "id": UUID,
            "user_id": USER_ID,
            "tenant_id": UUID,
            "title": {"type": "string", "maxLength": 255},
            "config": fields({"metadata": {"type": "object", "additionalProperties": True}}),
            "created_at": TIMESTAMP,
            "updated_at": TIMESTAMP,
            "last_message_at": either_null(TIMESTAMP),
            "message_count": COUNT,
            "status": STATUS,
        }
    ),
    "Message": fields(
        {
            "id": UUID,
            "content": TEXT_SAID,
            "sender_role": ROLE,
            "media_type": {"type": "null"},
            "media_url": {"type": "null"},
            "created_at": TIMESTAMP,
            "metadata": {
                "type": "object",
                "description": "Of a user's message, what its sender gave; of a reply, ReplyMetadata.",
                "additionalProperties": True,
            },
            "sequence": SEQUENCE,
            "user_id": said(USER_ID, "Who said it or, of a reply, whom it answers."),
            "reply_to": said(either_null(UUID), "The message that a reply of the agent answers."),
        },
        **{
            "if": {"properties": {"sender_role": constant("assistant")}},
            "then": {"properties": {"metadata": ref("ReplyMetadata")}},
        },
    ),
    "ReplyMetadata": {"oneOf": [AGENT_METADATA, PERSON_METADATA]},
    "ChatPage": page("chats", "Chat"),
    "MessagePage": page("messages", "Message"),
    "ErrorDetails": ERROR_DETAILS,
    "Json": JSON,
}
