"""What does the OpenAPI document say? It is put together here from the operations, the shapes and the error table."""

from __future__ import annotations

from functools import cache
from typing import Any

from core.errors import RATE_LIMIT_EXCEEDED, SERVICE_UNAVAILABLE, ApiError, ErrorKind
from lexicon.documents.customer_face import CUSTOMER_FACE
from lexicon.documents.lexicon_face import LEXICON_FACE
from lexicon.documents.operation import COMMON, CUSTOMER, DOCUMENTS, HEALTH, LEXICON, Operation, Success
from lexicon.documents.other_routes import OTHER_ROUTES
from lexicon.documents.shapes import (
    COMPONENTS,
    COUNT,
    ROLE,
    STREAM_ID,
    STRING,
    TEXT_SAID,
    TIMESTAMP,
    UUID,
    constant,
    failure,
    fields,
)
from lexicon.documents.webhooks import webhooks

_ABOUT = """Two faces of one core. **Chats** are for your product's backend (a tenant key, `X-API-Key`),
**Conversations** for a customer's backend (a customer key, `Authorization: Bearer`, replies as Server-Sent Events).
The WebSocket is described by the AsyncAPI document at `/api/asyncapi.yaml`.

Addresses work with and without one trailing slash. HEAD is answered wherever GET is, but for a stream. Besides
what each operation lists, an address that does not exist is 404 `NOT_FOUND` and a method that an address does not
take is 405 `METHOD_NOT_ALLOWED`. Without a valid key, one request too many of one address is 429
`RATE_LIMIT_EXCEEDED`, and a `Host` that is not this server's is 400 `INVALID_REQUEST`; `/healthz` and `/readyz` know
neither. Answers may get further fields; ignore what you do not know. Every answer carries `X-Request-ID`, every answer
to a known key the three `X-RateLimit` headers."""

_TAGS = {
    LEXICON: "The Lexicon face: chats of all your users.",
    CUSTOMER: "The customer face: conversations and streamed replies.",
    HEALTH: "For orchestrators and load balancers.",
    DOCUMENTS: "What you are reading.",
}

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {"description": "The request's id: the one it brought, or a new one.", "schema": STRING},
    "X-RateLimit-Limit": {"description": "Requests a window of 60 seconds.", "schema": COUNT},
    "X-RateLimit-Remaining": {"description": "Requests left in this window.", "schema": COUNT},
    "X-RateLimit-Reset": {"description": "Whole seconds to the window's end.", "schema": COUNT},
    "Retry-After": {"description": "Whole seconds to wait.", "schema": COUNT},
    "X-Message-Id": {"description": "The id of the user's message, which is stored.", "schema": UUID},
    "X-Stream-Id": {
        "description": "The reply and its try, for `/stream?stream=…`. Absent where a person answers.",
        "schema": STREAM_ID,
    },
    "Cache-Control": {"description": "Not to be kept.", "schema": STRING},
}
#: Statuses of what may fail before anybody knows whose key it is, so that nothing is counted.
_PERHAPS_UNCOUNTED = (400, 401, 429, 500, 503)
_RATE_LIMIT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

_PARAMETERS = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes the request one, however often it is sent within 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    },
    "LastEventId": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Go on after this event; `EventSource` sends it by itself.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
    },
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "description": (
            "An id of yours, given back and written to the log, where it is 1 to 128 of the characters "
            "`A-Z a-z 0-9 _ . : / + = -`. Any other is ignored, and a new one given back."
        ),
        "schema": STRING,
    },
}

_CUSTOMER_SHAPES = {
    "StreamDelta": fields({"type": constant("delta"), "text": STRING}, description="The next characters of the reply."),
    "StreamStatus": fields(
        {"type": constant("status"), "status": constant("escalated")}, description="A person answers from now on."
    ),
    "StreamError": fields(
        {"type": constant("error"), "message": STRING}, description="The reply ends here, not whole."
    ),
    "StreamRestart": fields(
        {"type": constant("restart")}, description="Forget what was said: the reply is told from its beginning (id 0)."
    ),
    "Turn": fields({"role": ROLE, "content": TEXT_SAID, "createdAt": TIMESTAMP}),
}

_SECURITY: dict[str, list[dict[str, list[str]]]] = {LEXICON: [{"tenantKey": []}], CUSTOMER: [{"customerKey": []}]}


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in (*LEXICON_FACE, *CUSTOMER_FACE, *OTHER_ROUTES):
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lexicon",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "schemas": COMPONENTS | _CUSTOMER_SHAPES,
            "parameters": _PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": {
                "tenantKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "A tenant key (`lxt_…`).",
                },
                "customerKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A customer key (`lxc_…`).",
                },
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    answers = {str(status): _success(operation, success) for status, success in operation.answers.items()}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": _SECURITY.get(operation.tag, []),
        "parameters": [*operation.parameters, {"$ref": "#/components/parameters/RequestId"}],
        "responses": answers | _failures(operation),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        content = {"schema": operation.body, "example": operation.body_example}
        described["requestBody"] = {"required": operation.body_required, "content": {"application/json": content}}
    return described


def _success(operation: Operation, success: Success) -> dict[str, Any]:
    names = {"X-Request-ID": True, **dict.fromkeys(_RATE_LIMIT if operation.is_keyed else (), True), **success.headers}
    answer: dict[str, Any] = {"description": success.description, "headers": _headers(names)}
    if success.schema is not None:
        content: dict[str, Any] = {"schema": success.schema}
        if success.example is not None:
            content["example"] = success.example
        if success.event is not None:
            content["x-event-data"] = success.event
        answer["content"] = dict.fromkeys((success.media_type, *success.also_as), content)
    return answer


def _failures(operation: Operation) -> dict[str, Any]:
    """The failures an operation may answer, by status."""
    customer = operation.tag == CUSTOMER
    by_status: dict[int, list[ErrorKind]] = {}
    for kind in (*operation.errors, *(COMMON if operation.is_keyed else ())):
        status = ApiError(kind).customer_status if customer else kind.http or 500
        by_status.setdefault(status, []).append(kind)
    return {str(status): _failure(operation, status, by_status[status]) for status in sorted(by_status)}


def _failure(operation: Operation, status: int, kinds: list[ErrorKind]) -> dict[str, Any]:
    customer = operation.tag == CUSTOMER
    names = {"X-Request-ID": True}
    if operation.is_keyed:
        names |= dict.fromkeys(_RATE_LIMIT, status not in _PERHAPS_UNCOUNTED)
    if waits := [kind for kind in kinds if kind in (RATE_LIMIT_EXCEEDED, SERVICE_UNAVAILABLE)]:
        names["Retry-After"] = waits == kinds
    examples = {}
    for kind in kinds:
        problem = ApiError(kind, retry_after=2 if kind in waits else None)
        examples[kind.code] = {"value": problem.customer_body() if customer else problem.lexicon_body()}
    return {
        "description": "\n".join(f"* `{kind.code}`: {kind.message}" for kind in kinds),
        "headers": _headers(names),
        "content": {"application/json": {"schema": failure(kinds, customer=customer), "examples": examples}},
    }


def _headers(names: dict[str, bool]) -> dict[str, Any]:
    return {
        name: {**HEADERS[name], "required": True} if required else {"$ref": f"#/components/headers/{name}"}
        for name, required in names.items()
    }
