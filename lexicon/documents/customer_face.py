"""Which operations has the customer face?"""

from __future__ import annotations

from core import errors
from lexicon.documents import examples
from lexicon.documents.operation import BODY, CUSTOMER, IDEMPOTENCY_KEY, Operation, Success, in_path, in_query
from lexicon.documents.shapes import (
    CONTENT,
    METADATA,
    STATUS,
    STREAM_ID,
    STRING,
    USER_ID,
    UUID,
    either_null,
    fields,
    ref,
    taken,
)

CONVERSATIONS = "/api/v1/customer/conversations"
CONVERSATION_ID = in_path("conversation_id")

_STREAM = """Each event is `id: <n>`, `data: <one line>` and an empty line; n is 1, 2, 3, … The last event of every
stream is `data: [DONE]`. Append the `text` of each `delta`. A line that begins with a colon is a comment, sent when
nothing was said for 15 seconds."""

CUSTOMER_FACE: tuple[Operation, ...] = (
    Operation(
        "post", CONVERSATIONS, "createConversation", CUSTOMER, "Create a conversation",
        answers={201: Success("Its id.", fields({"conversationId": UUID}), {"conversationId": examples.CHAT_ID})},
        errors=(*BODY, errors.IDEMPOTENCY_CONFLICT),
        parameters=(IDEMPOTENCY_KEY,),
        body=taken({}, {"customerIdentifier": either_null(USER_ID), "metadata": METADATA}),
        body_example={"customerIdentifier": "alice"},
        body_required=False,
    ),
    Operation(
        "post", CONVERSATIONS + "/{conversation_id}/messages", "sendMessage", CUSTOMER,
        "Send a message and stream its reply",
        answers={
            200: Success(
                f"The reply. {_STREAM}",
                STRING,
                examples.STREAM,
                headers={"X-Message-Id": True, "X-Stream-Id": False, "Cache-Control": True},
                media_type="text/event-stream",
                event={"oneOf": [ref("StreamDelta"), ref("StreamStatus"), ref("StreamError")]},
            )
        },
        errors=(
            *BODY,
            errors.MESSAGE_TOO_LONG,
            errors.PAYMENT_REQUIRED,
            errors.CHAT_NOT_FOUND,
            errors.IDEMPOTENCY_CONFLICT,
            errors.MESSAGE_LIMIT_REACHED,
        ),
        description=(
            "The message is stored before the stream begins. With an Idempotency-Key it is stored once: a repeat "
            "follows the reply in flight or is told the stored one. A client that hangs up leaves the reply running."
        ),
        parameters=(CONVERSATION_ID, IDEMPOTENCY_KEY),
        body=taken({"message": CONTENT}),
        body_example={"message": "What are your business hours?"},
    ),
    Operation(
        "get", CONVERSATIONS + "/{conversation_id}/messages", "readConversation", CUSTOMER, "Read the history",
        answers={
            200: Success(
                "All that was said, oldest first. Replies without text are left out.",
                fields({"messages": {"type": "array", "items": ref("Turn")}, "status": STATUS}),
                {"messages": examples.TURNS, "status": "active"},
            )
        },
        errors=(errors.CHAT_NOT_FOUND,),
        parameters=(CONVERSATION_ID,),
    ),
    Operation(
        "get", CONVERSATIONS + "/{conversation_id}/stream", "resumeStream", CUSTOMER, "Follow the reply in flight",
        answers={
            200: Success(
                f"The reply. {_STREAM}",
                STRING,
                examples.STREAM,
                headers={"X-Stream-Id": True, "Cache-Control": True},
                media_type="text/event-stream",
                event={"oneOf": [ref("StreamDelta"), ref("StreamStatus"), ref("StreamError"), ref("StreamRestart")]},
            ),
            204: Success("No reply is being written, or not the one asked for: the history has it."),
        },
        errors=(errors.INVALID_REQUEST, errors.CHAT_NOT_FOUND),
        parameters=(
            CONVERSATION_ID,
            {"$ref": "#/components/parameters/LastEventId"},
            in_query("stream", STREAM_ID, "An `X-Stream-Id`: only that reply. A later try begins with `restart`."),
        ),
    ),
)  # fmt: skip
