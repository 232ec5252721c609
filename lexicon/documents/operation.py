"""How is an operation of the HTTP API described?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core import errors
from core.errors import ErrorKind
from lexicon.documents.shapes import LIMIT, OFFSET, UUID, Schema

LEXICON, CUSTOMER, HEALTH, DOCUMENTS = "Chats", "Conversations", "Health", "Documents"

#: What anybody with a key may be told, whatever they ask.
COMMON = (
    errors.AUTH_ERROR,
    errors.WRONG_KEY_TYPE,
    errors.RATE_LIMIT_EXCEEDED,
    errors.INTERNAL_ERROR,
    errors.SERVICE_UNAVAILABLE,
)
#: What is said of a body.
BODY = (errors.INVALID_REQUEST, errors.PAYLOAD_TOO_LARGE, errors.UNSUPPORTED_MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class Success:
    """An answer that is no failure."""

    description: str
    schema: Schema | None = None
    example: Any = None
    #: Headers besides those of every answer, and whether each is always there.
    headers: dict[str, bool] = field(default_factory=dict)
    media_type: str = "application/json"
    #: Media types in which the same is given where it is asked for.
    also_as: tuple[str, ...] = ()
    #: Of an SSE stream, the JSON of a `data:` line.
    event: Schema | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: dict[int, Success]
    errors: tuple[ErrorKind, ...] = ()
    description: str = ""
    parameters: tuple[dict[str, Any], ...] = ()
    body: Schema | None = None
    body_example: Any = None
    body_required: bool = True

    @property
    def is_keyed(self) -> bool:
        """Whether it asks for a key (and counts against the rate limit)."""
        return self.tag in (LEXICON, CUSTOMER)


def in_path(name: str, schema: Schema = UUID, description: str = "") -> dict[str, Any]:
    """A part of the address."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def in_query(name: str, schema: Schema, description: str = "") -> dict[str, Any]:
    """A parameter of the query."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def paging(order: str) -> tuple[dict[str, Any], ...]:
    """Which part of a list is asked for."""
    return (
        in_query("offset", OFFSET, "How many to skip."),
        in_query("limit", LIMIT, "How many to give."),
        in_query("order", {"type": "string", "enum": ["asc", "desc"], "default": order}),
    )


IDEMPOTENCY_KEY = {"$ref": "#/components/parameters/IdempotencyKey"}
