"""Which operations has the Lexicon face?"""

from __future__ import annotations

from core import errors
from lexicon.documents import examples
from lexicon.documents.operation import BODY, IDEMPOTENCY_KEY, LEXICON, Operation, Success, in_path, in_query, paging
from lexicon.documents.shapes import (
    METADATA,
    RATING,
    STRING,
    TIMESTAMP,
    TITLE,
    TTL,
    USER_ID,
    constant,
    either_null,
    fields,
    ref,
    said,
    taken,
)

CHATS = "/api/v1/chats/"
CHAT_ID = in_path("chat_id")

LEXICON_FACE: tuple[Operation, ...] = (
    Operation(
        "post", CHATS, "createChat", LEXICON, "Create a chat",
        answers={201: Success("The chat.", ref("Chat"), examples.CHAT)},
        errors=(*BODY, errors.IDEMPOTENCY_CONFLICT),
        parameters=(IDEMPOTENCY_KEY,),
        body=taken({"user_id": USER_ID}, {"title": TITLE, "metadata": METADATA}),
        body_example={"user_id": "alice", "title": "Order 1042", "metadata": {"plan": "gold"}},
    ),
    Operation(
        "get", CHATS, "listChats", LEXICON, "List the chats of the tenant, or of a user",
        answers={200: Success("A part of the list, by `created_at`.", ref("ChatPage"), examples.CHAT_PAGE)},
        errors=(errors.INVALID_REQUEST, errors.USER_NOT_FOUND),
        parameters=(in_query("user_id", USER_ID, "Only the chats of this user."), *paging("desc")),
    ),
    Operation(
        "get", "/api/v1/chats/user/{user_id}", "listUserChats", LEXICON, "List the chats of a user",
        answers={200: Success("A part of the list, by `created_at`.", ref("ChatPage"), examples.CHAT_PAGE)},
        errors=(errors.INVALID_REQUEST, errors.USER_NOT_FOUND),
        parameters=(
            in_path("user_id", USER_ID, "Percent-encoded; any character, a slash too."),
            *paging("desc"),
        ),
    ),
    Operation(
        "get", "/api/v1/chats/{chat_id}", "getChat", LEXICON, "Read a chat",
        answers={200: Success("The chat.", ref("Chat"), examples.CHAT)},
        errors=(errors.CHAT_NOT_FOUND,),
        parameters=(CHAT_ID,),
    ),
    Operation(
        "patch", "/api/v1/chats/{chat_id}", "changeChat", LEXICON, "Change a chat",
        answers={200: Success("The chat as it is now.", ref("Chat"), examples.CHAT)},
        errors=(*BODY, errors.CHAT_NOT_FOUND),
        description="What is not named stays. `active` hands an escalated chat back to the agent.",
        parameters=(CHAT_ID,),
        body=taken(
            {}, {"title": TITLE, "metadata": METADATA, "status": {"type": "string", "enum": ["active", "closed"]}}
        ),
        body_example={"status": "closed"},
        body_required=False,
    ),
    Operation(
        "delete", "/api/v1/chats/{chat_id}", "deleteChat", LEXICON, "Delete a chat and its messages for good",
        answers={
            200: Success(
                "It is gone.",
                fields({"success": constant(True), "message": STRING, "deleted_at": TIMESTAMP}),
                examples.DELETED,
            )
        },
        errors=(errors.INVALID_REQUEST, errors.CHAT_NOT_FOUND, errors.CHAT_IN_USE),
        parameters=(
            CHAT_ID,
            in_query(
                "force",
                {"type": "string", "enum": ["true", "false", "1", "0"], "default": "false"},
                "Delete it although WebSockets are open on it, and close them (4410).",
            ),
        ),
    ),
    Operation(
        "get", "/api/v1/chats/{chat_id}/messages", "listMessages", LEXICON, "Read the messages of a chat",
        answers={200: Success("A part of the history, by `sequence`.", ref("MessagePage"), examples.MESSAGE_PAGE)},
        errors=(errors.INVALID_REQUEST, errors.CHAT_NOT_FOUND),
        parameters=(CHAT_ID, *paging("asc")),
    ),
    Operation(
        "patch", "/api/v1/chats/{chat_id}/messages/{message_id}", "rateMessage", LEXICON, "Rate a reply of the agent",
        answers={200: Success("The reply, `metadata.rating` included.", ref("Message"), examples.RATED)},
        errors=(*BODY, errors.CHAT_NOT_FOUND),
        description="`null` takes a rating back. It changes nothing else: no order, no date.",
        parameters=(CHAT_ID, in_path("message_id")),
        body=taken({"rating": said(either_null(RATING), "What the reader thinks of the reply.")}),
        body_example={"rating": "up"},
    ),
    Operation(
        "post", "/api/v1/chats/{chat_id}/tokens", "createChatToken", LEXICON, "Make a chat token for a browser",
        answers={
            201: Success(
                "What opens `/ws/chat?token=…` for this chat and user, and nothing else.",
                fields({"token": STRING, "expires_at": TIMESTAMP}),
                examples.TOKEN,
                headers={"Cache-Control": True},
            )
        },
        errors=(*BODY, errors.CHAT_NOT_FOUND),
        description="It may be used again until it expires, and dies with the key that made it.",
        parameters=(CHAT_ID,),
        body=taken({}, {"user_id": said(either_null(USER_ID), "By default the chat's user."), "ttl_seconds": TTL}),
        body_example={"user_id": "alice", "ttl_seconds": 3600},
        body_required=False,
    ),
)  # fmt: skip
