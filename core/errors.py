"""Which failures may a client be told of, and how does each face say it?

This table is the only place a public error code is defined. The REST and customer faces, the
WebSocket and the documents all read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table: a code, where it may appear, and what it says by default."""

    code: str
    message: str
    fix: str
    #: HTTP status on the Lexicon face, or None where the error never appears there.
    http: int | None = None
    #: WebSocket close code, or None where the socket stays open (or never sees it).
    close: int | None = None
    #: HTTP status on the customer face where it differs from `http`.
    customer_http: int | None = None


AUTH_ERROR = ErrorKind(
    "AUTH_ERROR",
    "Invalid API key",
    "Check your tenant API key value. Each tenant has a unique API key in the tenants table.",
    http=401,
    close=4401,
)
WRONG_KEY_TYPE = ErrorKind(
    "WRONG_KEY_TYPE",
    "This key is of the wrong kind for this endpoint",
    "Use a tenant key (lxt_…) for /api/v1/chats/ and /ws/chat, a customer key (lxc_…) for /api/v1/customer/.",
    http=403,
    close=4403,
)
CHAT_NOT_FOUND = ErrorKind(
    "CHAT_NOT_FOUND",
    "Chat not found",
    "Create the chat first using POST /api/v1/chats/ endpoint",
    http=404,
    close=4404,
)
USER_NOT_FOUND = ErrorKind(
    "USER_NOT_FOUND",
    "No such user, or the user has no chats",
    "Check the user_id, or create a chat for this user first using POST /api/v1/chats/ endpoint",
    http=404,
)
NOT_FOUND = ErrorKind(
    "NOT_FOUND", "There is nothing at this address", "Check the path against the API reference.", http=404
)
METHOD_NOT_ALLOWED = ErrorKind(
    "METHOD_NOT_ALLOWED",
    "This method is not allowed here",
    "The Allow header lists the methods of this address.",
    http=405,
)
UNSUPPORTED_MEDIA_TYPE = ErrorKind(
    "UNSUPPORTED_MEDIA_TYPE",
    "The body must be JSON",
    "Send the body as JSON with the header Content-Type: application/json.",
    http=415,
    customer_http=400,
)
INVALID_REQUEST = ErrorKind(
    "INVALID_REQUEST",
    "The request is not valid",
    "Correct the fields named in details.fields and send it again.",
    http=400,
    close=4400,
)
MESSAGE_TOO_LONG = ErrorKind(
    "MESSAGE_TOO_LONG",
    "The message is too long",
    "Send a shorter message, or several.",
    http=400,
)
PAYLOAD_TOO_LARGE = ErrorKind(
    "PAYLOAD_TOO_LARGE",
    "The body is larger than 1 MiB",
    "Send a smaller body.",
    http=413,
    close=1009,
    customer_http=400,
)
CHAT_IN_USE = ErrorKind(
    "CHAT_IN_USE",
    "The chat has open WebSocket connections",
    "Close them first, or delete with ?force=true, which closes them.",
    http=409,
)
CHAT_DELETED = ErrorKind("CHAT_DELETED", "The chat was deleted", "Create a new chat.", close=4410)
IDEMPOTENCY_CONFLICT = ErrorKind(
    "IDEMPOTENCY_CONFLICT",
    "This Idempotency-Key was used for another request",
    "Use a new Idempotency-Key for each different request.",
    http=422,
)
RATE_LIMIT_EXCEEDED = ErrorKind(
    "RATE_LIMIT_EXCEEDED",
    "Too many requests",
    "Wait as long as Retry-After (or details.retry_after) says, then go on.",
    http=429,
    # On connecting alone, as INVALID_REQUEST: a frame too many keeps the socket open.
    close=4429,
)
CONNECTION_LIMIT_EXCEEDED = ErrorKind(
    "CONNECTION_LIMIT_EXCEEDED",
    "The tenant has as many connections open as it may",
    "Close a connection that is no longer needed, then connect again.",
    close=4429,
)
MESSAGE_LIMIT_REACHED = ErrorKind(
    "MESSAGE_LIMIT_REACHED",
    "This conversation has reached its message limit",
    "Start a new conversation.",
    http=429,
)
PAYMENT_REQUIRED = ErrorKind(
    "PAYMENT_REQUIRED",
    "No active subscription, or the credits are used up",
    "Renew the subscription or add credits, then send the message again.",
    http=402,
)
AGENT_ERROR = ErrorKind(
    "AGENT_ERROR",
    "The agent could not finish its reply",
    "Send the message again; if it keeps failing, tell the operator of this service.",
)
SERVICE_UNAVAILABLE = ErrorKind(
    "SERVICE_UNAVAILABLE",
    "The service is unavailable for a moment",
    "Nothing was stored. Try again in a few seconds.",
    http=503,
    close=1013,
)
INTERNAL_ERROR = ErrorKind(
    "INTERNAL_ERROR",
    "Something went wrong on our side",
    "Try again; if it keeps failing, report the X-Request-ID of this answer.",
    http=500,
    close=4500,
)

#: Every code, in the order the documents list them.
ERRORS: tuple[ErrorKind, ...] = (
    AUTH_ERROR,
    WRONG_KEY_TYPE,
    CHAT_NOT_FOUND,
    USER_NOT_FOUND,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID_REQUEST,
    MESSAGE_TOO_LONG,
    PAYLOAD_TOO_LARGE,
    CHAT_IN_USE,
    CHAT_DELETED,
    IDEMPOTENCY_CONFLICT,
    RATE_LIMIT_EXCEEDED,
    CONNECTION_LIMIT_EXCEEDED,
    MESSAGE_LIMIT_REACHED,
    PAYMENT_REQUIRED,
    AGENT_ERROR,
    SERVICE_UNAVAILABLE,
    INTERNAL_ERROR,
)


class ApiError(Exception):
    """A failure the client is told of: a row of the table, with what is particular to this case.

    `fields` maps each bad field to what is wrong with it; `retry_after` is in whole seconds.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str | None = None,
        *,
        fix: str | None = None,
        fields: dict[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message or kind.message)
        self.kind = kind
        self.message = message or kind.message
        self.fix = fix or kind.fix
        self.fields = fields
        self.retry_after = retry_after

    @property
    def details(self) -> dict[str, Any]:
        """The `details` object: always `fix`, and `fields` and `retry_after` where they are known."""
        details: dict[str, Any] = {"fix": self.fix}
        if self.fields:
            details["fields"] = self.fields
        if self.retry_after is not None:
            details["retry_after"] = self.retry_after
        return details

    def lexicon_body(self) -> dict[str, Any]:
        """The body of the Lexicon face and, with event_type and timestamp added, of the WebSocket."""
        return {"error_code": self.kind.code, "error_message": self.message, "details": self.details}

    def customer_body(self) -> dict[str, Any]:
        """The body of the customer face."""
        return {"error": self.message, "code": self.kind.code}

    @property
    def customer_status(self) -> int:
        """The HTTP status on the customer face."""
        return self.kind.customer_http or self.kind.http or 500

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers this failure adds."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def invalid(**fields: str) -> ApiError:
    """An INVALID_REQUEST that names each bad field and what is wrong with it."""
    message = "; ".join(f"{name}: {problem}" for name, problem in fields.items())
    return ApiError(INVALID_REQUEST, message, fields=fields)


def chat_not_found(chat_id: object) -> ApiError:
    """The CHAT_NOT_FOUND of the seed documents, word for word; an id that no JSON could carry is made harmless."""
    chat_id = str(chat_id)[:100].encode(errors="replace").decode()
    return ApiError(CHAT_NOT_FOUND, f"Chat with chat_id '{chat_id}' not found or does not belong to your tenant")


def unavailable() -> ApiError:
    """A SERVICE_UNAVAILABLE that asks the client to come back in two seconds."""
    return ApiError(SERVICE_UNAVAILABLE, retry_after=2)
