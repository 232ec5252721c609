"""How do staff choose who answers for a tenant, and keep what it knows?"""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import ValidationError

from agents.admin_articles import ArticleAdmin
from agents.catalog import UnknownModel, check_model
from agents.models import Article
from tenants.admin import TenantAdmin, TenantForm
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


@admin.register(Tenant)
class TenantWithModelAdmin(TenantAdmin):
    """Tenants, whose room does not know the models."""

    form = TenantWithModelForm


admin.site.register(Article, ArticleAdmin)
