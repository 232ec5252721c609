"""What do staff see of a chat, and what can they do in it?"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from chats import staff_replies
from chats.changes import change_chat
from chats.deletion import delete_chat
from chats.models import Chat, Message
from core.errors import ApiError
from core.payload import text_problem, write_json
from staff.transcript import read_transcript

#: Seconds a person's answer waits for the agent to fall silent; its owner stops within milliseconds.
PATIENCE_SECONDS = 5.0

#: The status each button gives a chat, what the button says, and what is said when it is done.
CHANGES: dict[str, tuple[str, str]] = {
    Chat.Status.ESCALATED: ("Take over", "You took the chat over; the agent is silent until you hand it back."),
    Chat.Status.ACTIVE: ("Hand back to the agent", "The agent answers again what comes from now on."),
    Chat.Status.CLOSED: ("Close", "The chat is closed; the user's next message opens it again."),
}


class ChatPage(admin.ModelAdmin):
    """A chat's own page: its transcript, its buttons and its reply box."""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        chat = self.get_object(request, unquote(object_id))
        if chat is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        if not self.has_view_or_change_permission(request, chat):
            raise PermissionDenied
        if request.method != "POST":
            return self._page(request, chat)
        if not self.has_change_permission(request, chat):
            raise PermissionDenied
        try:
            return self._act(request, chat)
        except ApiError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(reverse("admin:chats_chat_changelist"))

    def delete_model(self, request: HttpRequest, obj: Chat) -> None:
        # Not found: somebody else deleted it at this moment.
        with contextlib.suppress(ApiError):
            delete_chat(tenant_id=obj.tenant_id, chat_id=obj.id, force=True)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Django would read every message to list it.
        names = [f"{chat}: {chat.last_sequence} messages" for chat in objs]
        return names, {"chats": len(names)}, set(), []

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        return super().response_delete(request, str(obj_id), obj_id)

    def log_change(self, request: HttpRequest, obj: Chat, message: Any) -> Any:
        return super().log_change(request, _untitled(obj), message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        untitled: Any = [_untitled(chat) for chat in queryset]
        return super().log_deletions(request, untitled)

    def _page(self, request: HttpRequest, chat: Chat, *, text: str = "", problem: str | None = None) -> HttpResponse:
        before = request.GET.get("before", "")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": chat.heading,
            "original": chat,
            "metadata": write_json(chat.metadata).decode() if chat.metadata else "",
            "transcript": read_transcript(chat, int(before) if before.isdecimal() and len(before) < 10 else None),
            "buttons": [(status, label) for status, (label, _) in CHANGES.items() if status != chat.status],
            "has_change_permission": self.has_change_permission(request, chat),
            "has_delete_permission": self.has_delete_permission(request, chat),
            "author": _author(request),
            "text": text,
            "problem": problem,
        }
        return TemplateResponse(request, "admin/chats/chat/page.html", context)

    def _act(self, request: HttpRequest, chat: Chat) -> HttpResponse:
        text = request.POST.get("text", "").replace("\r\n", "\n")
        wanted = request.POST.get("do", "")
        if wanted in CHANGES:
            changed = change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=wanted)
            self.log_change(request, chat, f"Status: {wanted}.")
            self.message_user(request, CHANGES[wanted][1], messages.SUCCESS)
            # A text that was begun is not lost.
            return self._page(request, changed, text=text) if text else _back(chat)
        return self._answer(request, chat, text)

    def _answer(self, request: HttpRequest, chat: Chat, text: str) -> HttpResponse:
        if problem := text_problem(text, longest=chat.tenant.reply_max_characters):
            return self._page(request, chat, text=text, problem=f"Your answer was not sent. It {problem}.")
        chat = change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ESCALATED)
        message = _post_when_silent(chat, text, _author(request))
        if message is None:
            problem = "Your answer was not sent: the agent has not stopped writing yet. Try again in a few seconds."
            return self._page(request, chat, text=text, problem=problem)
        self.log_change(request, chat, f"Answered: message {message.sequence}.")
        self.message_user(request, "Your answer was sent.", messages.SUCCESS)
        return _back(chat)


def _back(chat: Chat) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:chats_chat_change", args=[chat.id]))


def _post_when_silent(chat: Chat, content: str, author_name: str) -> Message | None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        message = staff_replies.post_person_reply(
            tenant_id=chat.tenant_id, chat_id=chat.id, content=content, author_name=author_name
        )
        if message is not None or time.monotonic() >= until:
            return message
        time.sleep(0.05)


def _author(request: HttpRequest) -> str:
    user: Any = request.user
    return user.get_full_name() or user.get_username()


def _untitled(chat: Chat) -> Chat:
    """The chat as the admin's history may name it: its heading is the first words of its user."""
    return Chat(id=chat.id, title=f"chat {chat.id}")
