"""How do staff find a chat, and one message of it?"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chats.admin_chat import ChatPage
from chats.chats import parse_id
from chats.models import Chat, Message
from chats.waiting import still_waiting
from lexicon.payload import write_json
from tenants.admin_paging import PagedAdmin, ReadOnlyAdmin


class AnsweredBy(admin.SimpleListFilter):
    """Who has to answer."""

    title = "who answers"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("waiting", "Waiting for a person"),
            (Chat.Status.ESCALATED, "With a person"),
            (Chat.Status.ACTIVE, "With the agent"),
            (Chat.Status.CLOSED, "Closed"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Chat]) -> QuerySet[Chat]:
        if self.value() == "waiting":
            return still_waiting(queryset)
        return queryset.filter(status=self.value()) if self.value() else queryset


@admin.register(Chat)
class ChatAdmin(ChatPage, PagedAdmin):
    """All chats: those that changed last first or, of those that wait for a person, the longest waiting."""

    list_display = ("heading", "state", "tenant", "user", "last_message", "last_sequence")
    list_select_related = ("tenant", "user")
    list_filter = (AnsweredBy,)
    sortable_by = ("last_message",)
    search_fields = ("id", "user__external_id")
    search_help_text = "The whole id of a chat, or of a user."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chat]:
        return super().get_queryset(request).filter(deleted_at=None)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # Each of these is the order of an index.
        if request.GET.get("status") in ("waiting", Chat.Status.ESCALATED):
            return ("updated_at", "id")
        if "tenant__id__exact" in request.GET:
            return ("-created_at", "-id")
        return ("-updated_at", "-id")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        if not search_term:
            return queryset, False
        by_id = queryset.filter(id=parse_id(search_term.strip()))
        return (by_id if by_id.exists() else queryset.filter(user__external_id=search_term)), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Chats are deleted one by one, each by who has looked at it.
        return {}

    @admin.display(description="status")
    def state(self, chat: Chat) -> SafeString:
        return format_html('<span class="chat-status {}">{}</span>', chat.status, chat.status)

    @admin.display(description="last message", ordering="updated_at")
    def last_message(self, chat: Chat) -> str:
        return f"{chat.last_message_at:%Y-%m-%d %H:%M}" if chat.last_message_at else "none"


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """What was said, message by message, as it is stored."""

    list_display = ("sequence", "role", "user", "beginning", "created_at", "id")
    list_select_related = ("user",)
    # The one order an index serves.
    ordering = ("chat_id", "sequence")
    search_fields = ("id",)
    search_help_text = "The whole id of a message, or of a chat."
    fields = ("id", "tenant", "chat_link", "sequence", "role", "user", "created_at", "content", "shown_metadata")
    readonly_fields = ("id", "chat_link", "shown_metadata")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        if not search_term:
            return queryset, False
        found = parse_id(search_term.strip())
        by_id = queryset.filter(id=found)
        return (by_id if by_id.exists() else queryset.filter(chat_id=found)), False

    @admin.display(description="content")
    def beginning(self, message: Message) -> str:
        return message.content if len(message.content) <= 80 else message.content[:80] + "…"

    @admin.display(description="chat")
    def chat_link(self, message: Message) -> SafeString:
        return format_html(
            '<a href="{}?before={}">{}</a>',
            reverse("admin:chats_chat_change", args=[message.chat_id]),
            message.sequence + 1,
            message.chat,
        )

    @admin.display(description="metadata")
    def shown_metadata(self, message: Message) -> str:
        return write_json(message.metadata).decode()
