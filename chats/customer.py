"""How does a customer's backend make conversations and read them?

The POST that streams a reply is in `streaming/sse/views.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from chats import fields, representations
from chats.chats import do_create_chat, open_chat
from chats.idempotency import create_once
from chats.models import Chat, Message
from core.error_responses import json_response
from core.payload import check_metadata
from tenants.models import ApiKey
from tenants.views import KeyedViewSet

#: Messages that are read at once.
_BATCH = 1000


class ConversationViewSet(KeyedViewSet):
    """Conversations of the tenant whose customer key calls."""

    def create(self, request: Request) -> Response:
        """Create a conversation; no body is needed."""
        body: dict[str, Any] = dict(request.data)
        named = body.get("customerIdentifier") is not None
        user_id = fields.read_user_id(body, "customerIdentifier") if named else None
        metadata = check_metadata(body.get("metadata"))

        def create() -> dict[str, Any]:
            chat = do_create_chat(tenant_id=self.key.tenant_id, user_id=user_id, metadata=metadata, conversation=True)
            return {"conversationId": chat.id}

        return Response(create_once(request, self.key.tenant_id, create), status=201)


def conversation_history(key: ApiKey, conversation_id: str) -> HttpResponse:
    """All that was said in a conversation, oldest first. Replies without text are left out.

    It has no pages (CONTRACT): 100,000 short messages are an answer of 10 MB and take one to two seconds on
    either database, read one batch after the other by the index.
    """
    chat = open_chat(tenant_id=key.tenant_id, chat_id=conversation_id, conversations_only=True)
    return json_response({"messages": list(_turns(chat)), "status": chat.status})


def _turns(chat: Chat) -> Iterator[dict[str, Any]]:
    said = Message.objects.for_tenant(chat.tenant_id).filter(chat=chat).exclude(content="").order_by("sequence")
    turns = said.values_list("role", "content", "created_at")
    # Batch by batch, so that the database reads by the index, whatever it thinks of the chat's size.
    for first in range(1, chat.last_sequence + 1, _BATCH):
        for turn in turns.filter(sequence__range=(first, first + _BATCH - 1)):
            yield representations.turn_body(*turn)
