"""How do operators make, recognise and revoke API keys?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from staff.forms import tenant_field
from staff.paging import PagedAdmin
from tenants.models import ApiKey
from tenants.provisioning import do_create_key, do_revoke_key


class ApiKeyForm(forms.ModelForm):
    """A key to be made."""

    tenant = tenant_field(ApiKey)

    def clean_expires_at(self) -> Any:
        """Raises ValidationError where the key would be dead on its first day."""
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise ValidationError("This is in the past.")
        return expires_at


@admin.register(ApiKey)
class ApiKeyAdmin(PagedAdmin):
    """Keys: shown once when they are made, afterwards only to be recognised and revoked."""

    form = ApiKeyForm
    # Django knows the tenant as a column nobody edits; the form has a field of its own for it.
    exclude = ("tenant",)
    list_display = ("__str__", "short_kind", "tenant", "name", "state", "last_used_at", "created_at")
    list_select_related = ("tenant",)
    list_filter = ("kind",)
    search_fields = ("tenant__name", "name", "last_four__exact")
    search_help_text = "The tenant's name, the key's name, or its last four characters. Never a whole key."
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return ("tenant", "kind", "name", "expires_at")
        return self.get_readonly_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return ()
        known = ("__str__", "tenant", "kind", "name", "state", "last_used_at")
        return (*known, "created_at", "created_by", "expires_at", "revoked_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # A key that was used is part of what happened. It is revoked.
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        one_way = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**one_way, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # All that can be done to a key that exists is to revoke it.
        if change:
            do_revoke_key(obj)
            return
        _, obj.plain = do_create_key(id=obj.id, created_by=request.user, **form.cleaned_data)
        obj.refresh_from_db()

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        return "Made." if add else "Revoked."

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "title": "The new key", "opts": self.opts, "key": obj}
        response = TemplateResponse(request, "admin/tenants/apikey/shown_once.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def response_change(self, request: HttpRequest, obj: ApiKey) -> HttpResponse:
        self.message_user(request, f"Revoked {obj}. Its open sockets close within five seconds.", messages.SUCCESS)
        return self.response_post_save_change(request, obj)

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        keys = list(queryset)
        for key in keys:
            do_revoke_key(key)
            self.log_change(request, key, "Revoked.")
        self.message_user(request, f"Revoked: {', '.join(map(str, keys))}.", messages.SUCCESS)

    @admin.display(description="kind")
    def short_kind(self, key: ApiKey) -> str:
        return key.kind

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        if key.expires_at is not None and key.expires_at <= timezone.now():
            return "expired"
        return "live" if key.tenant.is_active else "tenant is off"
