"""How do staff say who is told, and see what arrived?"""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.outbound import Forbidden, check_url
from staff.forms import tenant_field
from staff.paging import PagedAdmin, ReadOnlyAdmin
from webhooks import endpoints
from webhooks.models import Delivery, Endpoint
from webhooks.signing import GRACE_HOURS


class EndpointForm(forms.ModelForm):
    """An endpoint; a new one names its tenant."""

    tenant = tenant_field(Endpoint)
    url = forms.CharField(
        label="Address",
        max_length=2000,
        widget=forms.TextInput(attrs={"size": 80}),
        help_text="Where events are posted to, for example https://shop.example.com/lexicon.",
    )
    events = forms.MultipleChoiceField(choices=Endpoint.EVENTS, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "events" in self.fields:
            # What a later version was told to tell is kept when this one saves the endpoint.
            known = dict(Endpoint.EVENTS)
            choices = [*known.items(), *((name, name) for name in self.instance.events if name not in known)]
            self.fields["events"].choices = choices  # type: ignore[attr-defined]

    def clean_url(self) -> str:
        """Raises ValidationError for an address that nothing would ever be sent to."""
        url: str = self.cleaned_data["url"].strip()
        try:
            check_url(url)
        except Forbidden as error:
            raise ValidationError(f"This address {error}.") from error
        return url


@admin.register(Endpoint)
class EndpointAdmin(PagedAdmin):
    """Endpoints: the secret is shown once, when it is made, afterwards only to be recognised."""

    form = EndpointForm
    # Django knows the tenant as a column nobody edits; the form has a field of its own for it.
    exclude = ("tenant",)
    list_display = ("url", "tenant", "told", "state", "created_at")
    list_select_related = ("tenant",)
    list_filter = ("is_enabled",)
    search_fields = ("tenant__name", "url")
    search_help_text = "The tenant's name, or a part of the address."
    actions = ("send_test", "send_dead_letters_again")

    def get_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        if obj is None:
            return ("tenant", "url", "events")
        return ("tenant", "url", "events", "is_enabled", "state", "secret_hint", "old_secret", "sent", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        return ("tenant", "state", "secret_hint", "old_secret", "sent", "created_at") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What was sent would go with it. An endpoint is switched off.
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        one_way = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**one_way, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        if not change:
            made = endpoints.do_create_endpoint(id=obj.id, **form.cleaned_data)
            obj.tenant, obj.secret = made.tenant, made.secret
            return
        if obj.is_enabled:
            obj.disabled_reason = ""
        # Never the secret: it may have been changed by somebody else since this form was read.
        obj.save(update_fields=["url", "events", "is_enabled", "disabled_reason"])

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return self._show_once(request, obj)

    def response_change(self, request: HttpRequest, obj: Endpoint) -> HttpResponse:
        if "_rotate" not in request.POST:
            return super().response_change(request, obj)
        endpoints.do_rotate(obj)
        self.log_change(request, obj, "Made a new secret.")
        return self._show_once(request, obj)

    def _show_once(self, request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "The new secret",
            "opts": self.opts,
            "endpoint": endpoint,
            "hours": GRACE_HOURS if endpoint.previous_secret else None,
        }
        response = TemplateResponse(request, "admin/webhooks/endpoint/shown_once.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Send a test event", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            if not endpoint.is_enabled:
                self.message_user(request, f"{endpoint} is switched off: nothing was sent.", messages.WARNING)
                continue
            endpoints.do_test(endpoint)
            self.message_user(
                request, format_html("A test is on its way to {}: {}.", endpoint, self.sent(endpoint)), messages.SUCCESS
            )

    @admin.action(description="Send dead letters again", permissions=["change"])
    def send_dead_letters_again(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        dead = endpoints.dead_letters([endpoint.id for endpoint in queryset])
        report_sent(self, request, endpoints.do_send_again(dead))

    @admin.display(description="is told of")
    def told(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.events)

    @admin.display(description="state")
    def state(self, endpoint: Endpoint) -> str:
        if endpoint.is_enabled:
            return "enabled"
        return f"switched off by itself, {endpoint.disabled_reason}" if endpoint.disabled_reason else "switched off"

    @admin.display(description="secret")
    def secret_hint(self, endpoint: Endpoint) -> str:
        return endpoint.secret_hint

    @admin.display(description="secret of before")
    def old_secret(self, endpoint: Endpoint) -> str:
        if endpoint.previous_until is None or endpoint.previous_until < timezone.now():
            return "signs no more"
        return f"signs too until {endpoint.previous_until:%Y-%m-%d %H:%M} UTC"

    @admin.display(description="what was sent")
    def sent(self, endpoint: Endpoint) -> SafeString:
        return format_html(
            '<a href="{}?endpoint__id__exact={}">its deliveries</a>',
            reverse("admin:webhooks_delivery_changelist"),
            endpoint.id,
        )


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """What was sent or will be, what died and why."""

    list_display = ("webhook_id", "what", "endpoint", "state", "attempts", "last_status", "last_error", "created_at")
    list_select_related = ("endpoint",)
    list_filter = ("state",)
    # Each order is one an index serves.
    ordering = ("-created_at", "-id")
    search_fields = ("id",)
    search_help_text = "The whole webhook-id (msg_…), or the whole id of a chat."
    fields = (
        *("webhook_id", "tenant", "endpoint", "event", "chat_link", "state", "attempts", "next_attempt"),
        *("last_status", "last_error", "created_at", "finished_at"),
    )
    readonly_fields = ("webhook_id", "chat_link", "next_attempt")
    actions = ("send_again",)

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Whether this member of staff may have something sent."""
        return request.user.has_perm("webhooks.change_delivery")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        if not search_term:
            return queryset, False
        try:
            found = uuid.UUID(search_term.strip().removeprefix("msg_"))
        except ValueError:
            return queryset.none(), False
        by_id = queryset.filter(id=found)
        return (by_id if by_id.exists() else queryset.filter(chat_id=found)), False

    @admin.action(description="Send again", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        report_sent(self, request, endpoints.do_send_again(queryset), of=queryset.count())

    @admin.display(description="event")
    def what(self, delivery: Delivery) -> str:
        return delivery.event

    @admin.display(description="chat")
    def chat_link(self, delivery: Delivery) -> str | SafeString:
        if delivery.chat_id is None:
            return "none"
        address = reverse("admin:chats_chat_change", args=[delivery.chat_id])
        return format_html('<a href="{}">{}</a>', address, delivery.chat_id)

    @admin.display(description="next attempt")
    def next_attempt(self, delivery: Delivery) -> str:
        pending = delivery.state == Delivery.State.PENDING
        return f"{delivery.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC" if pending else "none"


def report_sent(page: admin.ModelAdmin, request: HttpRequest, sent: int, *, of: int | None = None) -> None:
    """Say how many are sent again, and why others are not."""
    page.message_user(request, f"Sent again: {sent}.", messages.SUCCESS if sent else messages.WARNING)
    if not sent or (of is not None and sent < of):
        page.message_user(request, "To an endpoint that is switched off nothing is sent.", messages.WARNING)
