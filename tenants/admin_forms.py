"""Which form fields does the admin need that Django does not have?"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError

from tenants.models import Tenant, TenantOwned


def tenant_field(model: type[TenantOwned]) -> forms.ModelChoiceField:
    """A field that finds the tenant of a new row by its name, without listing all tenants."""
    widget = AutocompleteSelect(model._meta.get_field("tenant"), admin.site)
    return forms.ModelChoiceField(Tenant.objects.all(), widget=widget)


class OriginsField(forms.CharField):
    """A list of origins, one a line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        """The text of the list."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The list."""
        return value if isinstance(value, list) else (super().to_python(value) or "").split()

    def validate(self, value: Any) -> None:
        """Raises ValidationError for the first line that is no origin."""
        super().validate(value)
        for origin in value:
            if not _is_origin(origin):
                raise ValidationError(f"{origin} is not an origin. It must look like https://shop.example.com")


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text == f"{parts.scheme}://{parts.netloc}"
