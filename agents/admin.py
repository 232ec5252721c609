"""How do staff choose who answers for a tenant, and keep what it knows?"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError

from agents.admin_articles import ArticleAdmin
from agents.catalog import UnknownModel, check_address, check_key, check_model
from knowledge.models import Article
from tenants.admin import TenantAdmin, TenantForm
from tenants.models import Tenant


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


admin.site.register(Article, ArticleAdmin)
