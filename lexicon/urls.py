"""Which address leads where?

API addresses work with and without one trailing slash, and nothing is redirected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from chats.customer import ConversationViewSet
from chats.views import ChatViewSet
from core import error_responses
from core.db.executor import in_thread
from core.error_responses import error_response
from core.errors import ApiError
from lexicon.documents import views as documents
from lexicon.http import health, metrics_view
from streaming.sse.views import conversation_messages, conversation_stream
from web import page, widget


def pooled(view: Callable[..., HttpResponse]) -> Any:
    """A synchronous view, run in the pool of database threads instead of a thread (and connection) of its own."""

    @csrf_exempt
    async def run(request: HttpRequest, **parts: Any) -> HttpResponse:
        try:
            return await in_thread(view, request, **parts)
        except ApiError as error:  # It found no thread: the view has not begun.
            return error_response(request, error)

    return run


def pooled_unless_deleting(view: Callable[..., HttpResponse]) -> Any:
    """As `pooled`, but a DELETE has a thread of its own: it may wait for the owner of a running reply.

    That one needs the pool to let go.
    """
    in_pool = pooled(view)

    @csrf_exempt
    async def run(request: HttpRequest, **parts: Any) -> HttpResponse:
        if request.method == "DELETE":
            return await sync_to_async(view)(request, **parts)
        return await in_pool(request, **parts)

    return run


def only(view: Callable[..., Any], *methods: str) -> Any:
    """The view, for these methods: lexicon/http/middleware.py answers any other, before cookies are looked at."""
    view.allowed_methods = methods  # type: ignore[attr-defined]
    return view


_READ = ("GET", "HEAD")
_CHATS = r"^api/v1/chats"
_CONVERSATIONS = r"^api/v1/customer/conversations"

urlpatterns = [
    re_path(rf"{_CHATS}/?\Z", pooled(ChatViewSet.as_view({"post": "create", "get": "list"}))),
    re_path(rf"{_CHATS}/user/(?P<user_id>[\s\S]+)\Z", pooled(ChatViewSet.as_view({"get": "of_user"}))),
    re_path(rf"{_CHATS}/(?P<chat_id>[^/]+)/messages/?\Z", pooled(ChatViewSet.as_view({"get": "messages"}))),
    re_path(
        rf"{_CHATS}/(?P<chat_id>[^/]+)/messages/(?P<message_id>[^/]+)/?\Z",
        pooled(ChatViewSet.as_view({"patch": "rate"})),
    ),
    re_path(rf"{_CHATS}/(?P<chat_id>[^/]+)/tokens/?\Z", pooled(ChatViewSet.as_view({"post": "tokens"}))),
    re_path(
        rf"{_CHATS}/(?P<chat_id>[^/]+)/?\Z",
        pooled_unless_deleting(
            ChatViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})
        ),
    ),
    re_path(rf"{_CONVERSATIONS}/?\Z", pooled(ConversationViewSet.as_view({"post": "create"}))),
    re_path(rf"{_CONVERSATIONS}/(?P<conversation_id>[^/]+)/messages/?\Z", conversation_messages),
    re_path(rf"{_CONVERSATIONS}/(?P<conversation_id>[^/]+)/stream/?\Z", conversation_stream),
    re_path(r"^api/schema/?\Z", only(documents.schema, *_READ)),
    re_path(r"^api/docs/?\Z", only(documents.docs, *_READ)),
    re_path(r"^api/asyncapi\.yaml\Z", only(documents.asyncapi_yaml, *_READ)),
    path("", only(page.page, *_READ)),
    path("chat", only(page.visit, "POST")),
    path("widget.js", only(widget.script, *_READ)),
    path("widget/<uuid:tenant_id>", only(widget.frame, *_READ)),
    path("healthz", only(health.alive, *_READ)),
    path("readyz", only(health.ready, *_READ)),
    path("metrics", metrics_view.metrics_page),
    path("admin/", admin.site.urls),
]

handler400 = error_responses.bad_request
handler403 = error_responses.forbidden
handler404 = error_responses.not_found
handler500 = error_responses.server_error
