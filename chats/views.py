"""How does a tenant's backend manage chats over REST?"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote

from rest_framework.request import Request
from rest_framework.response import Response

from chats import deletion, fields, representations
from chats.changes import change_chat
from chats.chats import do_create_chat, list_chats, list_messages, open_chat
from chats.idempotency import create_once
from chats.rating import rate_message
from chats.tokens import make_token
from core.errors import USER_NOT_FOUND, ApiError
from core.payload import check_metadata, text_problem
from tenants.views import KeyedViewSet

#: Seconds a DELETE waits for the owner of a running reply to let go; the sweeper does it otherwise.
_LET_GO_SECONDS = 5.0


class ChatViewSet(KeyedViewSet):
    """Chats of the tenant whose key calls."""

    def create(self, request: Request) -> Response:
        """Create a chat; its user is made when unknown."""
        body: dict[str, Any] = dict(request.data)
        user_id = fields.read_user_id(body)
        title = fields.read_title(body.get("title"))
        metadata = check_metadata(body.get("metadata"))

        def create() -> dict[str, Any]:
            chat = do_create_chat(tenant_id=self.key.tenant_id, user_id=user_id, title=title, metadata=metadata)
            return representations.chat_body(chat)

        return Response(create_once(request, self.key.tenant_id, create), status=201)

    def list(self, request: Request) -> Response:
        """List the chats of the user that `user_id` names or, without it, of the tenant."""
        return self._list(request, request.query_params.get("user_id"))

    def partial_update(self, request: Request, chat_id: str) -> Response:
        """Change the title, the metadata or the status of a chat."""
        body: dict[str, Any] = dict(request.data)
        changes: dict[str, Any] = {}
        if "title" in body:
            changes["title"] = fields.read_title(body["title"])
        if "metadata" in body:
            changes["metadata"] = check_metadata(body["metadata"])
        if "status" in body:
            changes["status"] = fields.read_status(body["status"])
        chat = change_chat(tenant_id=self.key.tenant_id, chat_id=chat_id, **changes)
        return Response(representations.chat_body(chat))

    def of_user(self, request: Request, user_id: str) -> Response:
        """List the chats of a user."""
        return self._list(request, _raw_user_id(request, user_id))

    def retrieve(self, request: Request, chat_id: str) -> Response:
        """One chat."""
        return Response(representations.chat_body(open_chat(tenant_id=self.key.tenant_id, chat_id=chat_id)))

    def messages(self, request: Request, chat_id: str) -> Response:
        """The messages of a chat, by sequence."""
        offset, limit, descending = fields.read_page(request.query_params, default_order="asc")
        chat = open_chat(tenant_id=self.key.tenant_id, chat_id=chat_id)
        page = list_messages(chat=chat, offset=offset, limit=limit, descending=descending)
        rows = [representations.message_body(message) for message in page.rows]
        return Response(representations.page_body("messages", rows, page))

    def rate(self, request: Request, chat_id: str, message_id: str) -> Response:
        """Say what the reader of a reply thinks of it."""
        message = rate_message(
            tenant_id=self.key.tenant_id,
            chat_id=chat_id,
            message_id=message_id,
            rating=fields.read_rating(dict(request.data)),
        )
        return Response(representations.message_body(message))

    def destroy(self, request: Request, chat_id: str) -> Response:
        """Delete a chat and its messages for good."""
        force = fields.read_flag(request.query_params, "force")
        deleted_id, deleted_at = deletion.delete_chat(tenant_id=self.key.tenant_id, chat_id=chat_id, force=force)
        waited_until = time.monotonic() + _LET_GO_SECONDS
        while deletion.exists(chat_id=deleted_id) and time.monotonic() < waited_until:
            time.sleep(0.02)
        return Response({"success": True, "message": f"Chat {deleted_id} was deleted", "deleted_at": deleted_at})

    def tokens(self, request: Request, chat_id: str) -> Response:
        """Make a chat token: what a browser holds instead of a key."""
        body: dict[str, Any] = dict(request.data)
        chat = open_chat(tenant_id=self.key.tenant_id, chat_id=chat_id)
        token, expires_at = make_token(
            key=self.key,
            chat_id=chat.id,
            user_id=fields.read_user_id(body) if body.get("user_id") is not None else chat.user.external_id,
            ttl_seconds=fields.read_ttl(body.get("ttl_seconds")),
        )
        return Response({"token": token, "expires_at": expires_at}, status=201, headers={"Cache-Control": "no-store"})

    def _list(self, request: Request, user_id: str | None) -> Response:
        if user_id is not None and text_problem(user_id, longest=255, blank=True):
            raise ApiError(USER_NOT_FOUND)
        offset, limit, descending = fields.read_page(request.query_params, default_order="desc")
        page = list_chats(
            tenant_id=self.key.tenant_id, user_id=user_id, offset=offset, limit=limit, descending=descending
        )
        return Response(
            representations.page_body("chats", [representations.chat_body(chat) for chat in page.rows], page)
        )


def _raw_user_id(request: Request, decoded: str) -> str:
    """The user id as it stands in the raw path, percent-decoded once, so that it may hold a slash, even at its end."""
    raw = getattr(request._request, "scope", {}).get("raw_path")
    if raw is None:
        return decoded
    raw_id = raw.partition(b"/chats/user/")[2].partition(b"?")[0]
    return unquote(raw_id.removesuffix(b"/").decode("latin-1"), errors="surrogateescape")
