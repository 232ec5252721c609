"""Which failures does the service tell of, and what is each called here?"""

from __future__ import annotations

from lexicon_client.failure import LexiconError, Unreachable


class AuthError(LexiconError):
    """Invalid API key."""

    code = "AUTH_ERROR"
    default_fix = "Check your tenant API key value. Each tenant has a unique API key in the tenants table."


class WrongKeyType(LexiconError):
    """This key is of the wrong kind for this endpoint."""

    code = "WRONG_KEY_TYPE"
    default_fix = (
        "Use a tenant key (lxt_…) for /api/v1/chats/ and /ws/chat, a customer key (lxc_…) for /api/v1/customer/."
    )


class ChatNotFound(LexiconError):
    """Chat not found."""

    code = "CHAT_NOT_FOUND"
    default_fix = "Create the chat first using POST /api/v1/chats/ endpoint"


class UserNotFound(LexiconError):
    """No such user, or the user has no chats."""

    code = "USER_NOT_FOUND"
    default_fix = "Check the user_id, or create a chat for this user first using POST /api/v1/chats/ endpoint"


class NotFound(LexiconError):
    """There is nothing at this address."""

    code = "NOT_FOUND"
    default_fix = "Check the path against the API reference."


class MethodNotAllowed(LexiconError):
    """This method is not allowed here."""

    code = "METHOD_NOT_ALLOWED"
    default_fix = "The Allow header lists the methods of this address."


class UnsupportedMediaType(LexiconError):
    """The body must be JSON."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    default_fix = "Send the body as JSON with the header Content-Type: application/json."


class InvalidRequest(LexiconError):
    """The request is not valid."""

    code = "INVALID_REQUEST"
    default_fix = "Correct the fields named in details.fields and send it again."


class MessageTooLong(LexiconError):
    """The message is too long."""

    code = "MESSAGE_TOO_LONG"
    default_fix = "Send a shorter message, or several."


class PayloadTooLarge(LexiconError):
    """The body is larger than 1 MiB."""

    code = "PAYLOAD_TOO_LARGE"
    default_fix = "Send a smaller body."


class ChatInUse(LexiconError):
    """The chat has open WebSocket connections."""

    code = "CHAT_IN_USE"
    default_fix = "Close them first, or delete with ?force=true, which closes them."


class ChatDeleted(LexiconError):
    """The chat was deleted."""

    code = "CHAT_DELETED"
    default_fix = "Create a new chat."


class IdempotencyConflict(LexiconError):
    """This Idempotency-Key was used for another request."""

    code = "IDEMPOTENCY_CONFLICT"
    default_fix = "Use a new Idempotency-Key for each different request."


class RateLimitExceeded(LexiconError):
    """Too many requests."""

    code = "RATE_LIMIT_EXCEEDED"
    default_fix = "Wait as long as Retry-After (or details.retry_after) says, then go on."


class ConnectionLimitExceeded(LexiconError):
    """The tenant has as many connections open as it may."""

    code = "CONNECTION_LIMIT_EXCEEDED"
    default_fix = "Close a connection that is no longer needed, then connect again."


class MessageLimitReached(LexiconError):
    """This conversation has reached its message limit."""

    code = "MESSAGE_LIMIT_REACHED"
    default_fix = "Start a new conversation."


class PaymentRequired(LexiconError):
    """No active subscription, or the credits are used up."""

    code = "PAYMENT_REQUIRED"
    default_fix = "Renew the subscription or add credits, then send the message again."


class AgentError(LexiconError):
    """The agent could not finish its reply."""

    code = "AGENT_ERROR"
    default_fix = "Send the message again; if it keeps failing, tell the operator of this service."


class ServiceUnavailable(LexiconError):
    """The service is unavailable for a moment."""

    code = "SERVICE_UNAVAILABLE"
    default_fix = "Nothing was stored. Try again in a few seconds."


class InternalError(LexiconError):
    """Something went wrong on our side."""

    code = "INTERNAL_ERROR"
    default_fix = "Try again; if it keeps failing, report the X-Request-ID of this answer."


#: Every code the service may tell of, and its class.
ERRORS: dict[str, type[LexiconError]] = {
    kind.code: kind
    for kind in (
        AuthError,
        WrongKeyType,
        ChatNotFound,
        UserNotFound,
        NotFound,
        MethodNotAllowed,
        UnsupportedMediaType,
        InvalidRequest,
        MessageTooLong,
        PayloadTooLarge,
        ChatInUse,
        ChatDeleted,
        IdempotencyConflict,
        RateLimitExceeded,
        ConnectionLimitExceeded,
        MessageLimitReached,
        PaymentRequired,
        AgentError,
        ServiceUnavailable,
        InternalError,
    )
}


def error_of(
    body: object, *, status: int | None = None, retry_after: str | None = None, request_id: str | None = None
) -> LexiconError:
    """The error that a body of either face, or an event of the WebSocket, tells of."""
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
    if isinstance(body, dict):
        code = body.get("error_code") or body.get("code")
        message = body.get("error_message") or body.get("error")
        if isinstance(code, str) and isinstance(message, str):
            kind = ERRORS.get(code, LexiconError)
            details = body.get("details")
            return kind(message, code=code, status=status, details=details, retry_after=wait, request_id=request_id)
    return Unreachable(f"the answer was {status}, and not the service's", status=status, retry_after=wait)
