"""How does a customer's backend make conversations and read them?

The POST that streams a reply is in `streaming/sse.py`.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from chats import fields, serializers
from chats.chats import do_create_chat, open_chat
from chats.idempotency import create_once
from chats.models import Message
from lexicon.answers import json_response
from lexicon.payload import check_metadata
from tenants.models import ApiKey
from tenants.views import KeyedViewSet


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
    """All that was said in a conversation, oldest first. Replies without text are left out."""
    chat = open_chat(tenant_id=key.tenant_id, chat_id=conversation_id, conversations_only=True)
    messages = Message.objects.for_tenant(key.tenant_id).filter(chat=chat).exclude(content="").order_by("sequence")
    return json_response({"messages": [serializers.turn_body(message) for message in messages], "status": chat.status})
