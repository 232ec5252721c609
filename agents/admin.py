"""How do staff keep what a tenant knows, and choose who answers for it?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet, URLField
from django.http import HttpRequest

from agents import knowledge
from agents.catalog import UnknownModel, check_address, check_key, check_model
from agents.models import Article
from tenants.admin import TenantAdmin, TenantForm
from tenants.admin_forms import tenant_field
from tenants.admin_paging import PagedAdmin, TypedFilter
from tenants.models import Tenant

# What staff keep here; agents are nothing they see.
apps.get_app_config("agents").verbose_name = "Knowledge"


class TenantWithModelForm(TenantForm):
    """A tenant whose model exists."""

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
        """Raises ValidationError for an address without a model that is asked there."""
        cleaned = super().clean()
        if cleaned.get("model_base_url") and cleaned.get("model") == "":
            self.add_error("model", "Name the model that is asked at this address, for example openai:llama3.2.")
        return cleaned


@admin.register(Tenant)
class TenantWithModelAdmin(TenantAdmin):
    """Tenants, whose room does not know the models."""

    form = TenantWithModelForm


class ArticleForm(forms.ModelForm):
    """An article; a new one names its tenant."""

    tenant = tenant_field(Article)


class LanguageFilter(TypedFilter):
    """Articles in one language."""

    title = "language"
    parameter_name = "language"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Article]) -> QuerySet[Article]:
        return queryset.filter(language=self.value()) if self.value() else queryset


@admin.register(Article)
class ArticleAdmin(PagedAdmin):
    """Articles, whose index is kept with them in one transaction."""

    form = ArticleForm
    # Django knows the tenant as a column nobody edits; the form has a field of its own for it.
    exclude = ("tenant",)
    list_display = ("title", "tenant", "category", "state", "language", "updated_at")
    list_select_related = ("tenant",)
    list_filter = ("state", LanguageFilter)
    search_fields = ("title",)
    search_help_text = "Words of the title."
    # "example.com" means https, as it will by itself from Django 6 on.
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    fields = ("tenant", "title", "body", "category", "language", "state", "source_url")

    def get_readonly_fields(self, request: HttpRequest, obj: Article | None = None) -> Any:
        return ("tenant", "length", "created_at", "updated_at") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Article | None = None) -> Any:
        return (*self.fields, "length", "created_at", "updated_at") if obj else self.fields

    def save_model(self, request: HttpRequest, obj: Article, form: Any, change: bool) -> None:
        if not change:
            obj.tenant = form.cleaned_data["tenant"]
        knowledge.save_article(obj)

    def delete_model(self, request: HttpRequest, obj: Article) -> None:
        knowledge.do_delete_article(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Article]) -> None:
        for article in queryset:
            knowledge.do_delete_article(article)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Django would list every term of the index.
        titles = [str(article) for article in objs]
        return titles, {"articles": len(titles)}, set(), []
