"""What do operators see and change of tenants, their users, their keys and their credits?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from agents.catalog import UnknownModel, check_address, check_key, check_model
from staff.forms import LinesField, OriginsField, SynonymsField
from staff.paging import PagedAdmin, ReadOnlyAdmin
from tenants.credits import do_grant
from tenants.models import CreditEntry, EndUser, Tenant
from tenants.provisioning import do_create_tenant


def list_link(model: str, text: str, **filters: Any) -> SafeString:
    """A link to the list of "app_model", filtered."""
    return format_html('<a href="{}?{}">{}</a>', reverse(f"admin:{model}_changelist"), urlencode(filters), text)


class TenantForm(forms.ModelForm):
    """A tenant's policy, and credits to add."""

    allowed_origins = OriginsField(
        required=False,
        help_text="Pages that may chat with a chat token, one a line, for example https://shop.example.com.",
    )
    add_credits = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10**12,
        help_text="Without any a tenant is unmetered; from its first ones on it is metered.",
    )
    synonyms = SynonymsField(
        required=False, help_text="Words that mean the same here, a group a line: sofa, couch, settee"
    )
    escalation_keywords = LinesField(
        required=False, help_text="Whoever says one of these words or phrases is handed to a person, one a line."
    )
    new_model_api_key = forms.CharField(
        label="Key of the model",
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Never shown again. Empty: the one that is stored stays.",
    )
    forget_model_api_key = forms.BooleanField(label="Forget the stored key", required=False)

    def clean_model(self) -> str:
        """Raises ValidationError where nobody could answer."""
        model: str = self.cleaned_data["model"]
        try:
            check_model(model)
        except UnknownModel as error:
            raise ValidationError(str(error)) from error
        return model

    def clean_model_base_url(self) -> str:
        """Raises ValidationError for an address that this server does not connect to for a tenant."""
        address: str = self.cleaned_data["model_base_url"].strip()
        try:
            check_address(address)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        return address

    def clean_new_model_api_key(self) -> str:
        """Raises ValidationError, which does not say it, for what can be no key."""
        key: str = self.cleaned_data["new_model_api_key"]
        try:
            check_key(key)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        return key

    def clean(self) -> dict[str, Any]:
        """Take the model's key over: the new one, the stored one, or none.

        Raises ValidationError for an address without a model that is asked there.
        """
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        new = cleaned.pop("new_model_api_key", "")
        if cleaned.pop("forget_model_api_key", False):
            cleaned["model_api_key"] = new
        else:
            cleaned["model_api_key"] = new or self.instance.model_api_key
        self.instance.model_api_key = cleaned["model_api_key"]
        if cleaned.get("model_base_url") and cleaned.get("model") == "":
            self.add_error("model", "Name the model that is asked at this address, for example openai:llama3.2.")
        return cleaned


@admin.register(Tenant)
class TenantAdmin(PagedAdmin):
    """Tenants. Registered by the agents' room, which knows the models a tenant may name."""

    form = TenantForm
    list_display = ("name", "is_active", "subscription_active", "answered_by", "credits", "created_at")
    list_select_related = ("account",)
    search_fields = ("name",)
    search_help_text = "A part of the name, or the whole id."
    readonly_fields = ("id", "created_at", "credits", "belongings")
    fieldsets = (
        (None, {"fields": ("name", "is_active", "subscription_active")}),
        (
            "Agent",
            {
                "fields": (
                    "model",
                    "model_base_url",
                    ("new_model_api_key", "forget_model_api_key"),
                    "instructions",
                    ("history_max_tokens", "reply_max_tokens"),
                )
            },
        ),
        ("Knowledge", {"fields": ("answer_threshold", "synonyms")}),
        ("Handing over to a person", {"fields": ("escalation_keywords", "escalation_after", "away_message")}),
        (
            "Limits",
            {
                "fields": (
                    ("rest_per_minute", "ws_messages_per_second", "ws_connections"),
                    ("message_max_characters", "reply_max_characters"),
                    ("message_limit", "queue_depth"),
                    "user_messages_per_minute",
                )
            },
        ),
        ("Credits", {"fields": ("credits", "add_credits")}),
        ("Web pages", {"fields": ("allowed_origins",)}),
        ("This tenant", {"fields": ("belongings", "id", "created_at")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:-1]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # All its chats would go with it, one by one. A tenant is switched off.
        return False

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        try:
            return queryset.filter(id=search_term.strip()), False
        except forms.ValidationError:
            return queryset.filter(name__icontains=search_term.strip()), False

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        policy = dict(form.cleaned_data)
        granted = policy.pop("add_credits")
        if not change:
            do_create_tenant(id=obj.id, credits=granted, **policy)
            return
        super().save_model(request, obj, form, change)
        if granted is not None:
            do_grant(tenant_id=obj.id, amount=granted)
            self.log_change(request, obj, f"Added {granted} credits.")

    @admin.display(description="agent")
    def answered_by(self, tenant: Tenant) -> str:
        return tenant.model or "as AGENT_MODEL says"

    @admin.display(description="credits")
    def credits(self, tenant: Tenant) -> str:
        return str(tenant.account) if hasattr(tenant, "account") else "unmetered until credits are added"

    @admin.display(description="what it has")
    def belongings(self, tenant: Tenant) -> SafeString:
        links = {
            "chats_chat": "Chats",
            "tenants_enduser": "Users",
            "tenants_apikey": "API keys",
            "agents_article": "Articles",
            "tenants_creditentry": "Ledger of credits",
        }
        shown = [list_link(model, text, tenant__id__exact=tenant.id) for model, text in links.items()]
        return SafeString(" · ".join(shown))


@admin.register(CreditEntry)
class CreditEntryAdmin(ReadOnlyAdmin):
    """The ledger, reached from its tenant."""

    list_display = ("created_at", "tenant", "reason", "amount", "balance_after", "reply_id")
    list_select_related = ("tenant",)
    ordering = ("-id",)


@admin.register(EndUser)
class EndUserAdmin(ReadOnlyAdmin):
    """People who chat."""

    list_display = ("external_id", "tenant", "created_at")
    list_select_related = ("tenant",)
    # The one order an index serves.
    ordering = ("tenant_id", "external_id")
    search_fields = ("external_id",)
    search_help_text = "The whole user id, as the tenant gave it."
    fields = ("external_id", "tenant", "created_at", "chats")
    readonly_fields = ("chats",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return (queryset.filter(external_id=search_term) if search_term else queryset), False

    @admin.display(description="chats")
    def chats(self, user: EndUser) -> SafeString:
        filters = {"tenant__id__exact": user.tenant_id, "user__id__exact": user.id}
        return list_link("chats_chat", "All chats of this user", **filters)
