"""How do staff find a chat, and one message of it?"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from chats.chats import parse_id
from chats.inbox import still_waiting
from chats.models import Chat, Message
from chats.rating import rated_down
from core.payload import write_json
from staff.chat_page import ChatPage
from staff.paging import PagedAdmin, ReadOnlyAdmin
from tenants.models import EndUser

#: Most tenants whose user of one id is looked for; for one of more, look in the tenant.
_SAME_NAME = 100


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


class RatedDown(admin.SimpleListFilter):
    """Whether a user was not content."""

    title = "ratings"
    parameter_name = "rated"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("down", "A reply is rated down")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Chat]) -> QuerySet[Chat]:
        return rated_down(queryset) if self.value() == "down" else queryset


@admin.register(Chat)
class ChatAdmin(ChatPage, PagedAdmin):
    """All chats: those that changed last first or, of those that wait for a person, the longest waiting."""

    list_display = ("heading", "state", "why", "tenant", "user", "last_message", "last_sequence")
    list_select_related = ("tenant", "user")
    list_filter = (AnsweredBy, RatedDown)
    search_fields = ("id", "user__external_id")
    search_help_text = "The whole id of a chat, or of a user."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chat]:
        return super().get_queryset(request).filter(deleted_at=None)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # Each of these is the order of an index.
        status = request.GET.get("status")
        if status in ("waiting", Chat.Status.ESCALATED):
            return ("updated_at", "id")
        if "tenant__id__exact" in request.GET and not status:
            return ("-created_at", "-id")
        return ("-updated_at", "-id")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        if not search_term:
            return queryset, False
        by_id = queryset.filter(id=parse_id(search_term.strip()))
        return (by_id if by_id.exists() else self._of_users(queryset, search_term)), False

    @staticmethod
    def _of_users(chats: QuerySet[Chat], external_id: str) -> QuerySet[Chat]:
        """The chats of the users that are called so (mostly one), the newest first, as one user's index has them."""
        users = EndUser.objects.all_tenants().filter(external_id=external_id).values_list("tenant_id", "id")
        found = list(users[:_SAME_NAME])
        if len(found) == 1:
            ((tenant_id, user_id),) = found
            chats = chats.filter(tenant_id=tenant_id, user_id=user_id)
        else:
            chats = chats.filter(user_id__in=[user_id for _, user_id in found])
        return chats.order_by("-created_at", "-id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Chats are deleted one by one, each by who has looked at it.
        return {}

    @admin.display(description="status")
    def state(self, chat: Chat) -> SafeString:
        return format_html('<span class="chat-status {}">{}</span>', chat.status, chat.status)

    @admin.display(description="why a person")
    def why(self, chat: Chat) -> str:
        return Truncator(chat.escalation_reason).chars(80)

    @admin.display(description="last message")
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
