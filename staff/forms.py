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


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        """The text of the list."""
        return "\n".join(map(self.write, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The list."""
        lines = [] if isinstance(value, list) else (super().to_python(value) or "").splitlines()
        return value if isinstance(value, list) else [self.read(line) for line in map(str.strip, lines) if line]

    def read(self, line: str) -> Any:
        """What a line stands for."""
        return line

    def write(self, entry: Any) -> str:
        """The line that stands for it."""
        return str(entry)


class OriginsField(LinesField):
    """A list of origins, one a line."""

    def validate(self, value: Any) -> None:
        """Raises ValidationError for the first line that is no origin."""
        super().validate(value)
        for origin in value:
            if not _is_origin(origin):
                raise ValidationError(f"{origin} is not an origin. It must look like https://shop.example.com")


class SynonymsField(LinesField):
    """Groups of words that mean the same, a group a line, its words separated by commas."""

    def read(self, line: str) -> list[str]:
        """The words of a line."""
        return [word for word in map(str.strip, line.split(",")) if word]

    def write(self, entry: Any) -> str:
        """The line of a group."""
        return ", ".join(entry)

    def validate(self, value: Any) -> None:
        """Raises ValidationError for the first line with fewer than two words."""
        super().validate(value)
        for group in value:
            if len(group) < 2:
                raise ValidationError(f"{', '.join(group)} stands alone. A line must look like: sofa, couch, settee")


def _is_origin(text: str) -> bool:
    # A host has 253 characters at most; reading a longer one takes the square of the time.
    if len(text) > 300:
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text == f"{parts.scheme}://{parts.netloc}"
