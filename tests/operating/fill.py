"""Puts a row into every table that has none, whatever tables there are: a program for a database of its own."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import django
from django.db import models

#: What a column of each kind holds. The first one that fits counts.
VALUES: dict[type[models.Field[Any, Any]], Any] = {
    models.DateTimeField: datetime(2026, 2, 3, 4, 5, 6, 789012, UTC),
    models.UUIDField: uuid.UUID(int=2**127 + 12345),
    models.BooleanField: True,
    models.IntegerField: 7,
    models.BinaryField: bytes(range(256)),
    models.CharField: "ä",
    models.TextField: '[1, "x\u2028\\t\U0001f600", 1e308]',
}


def fill(model: type[models.Model]) -> None:
    """One row, and those it needs."""
    if model._base_manager.exists():
        return
    values: dict[str, Any] = {}
    for field in model._meta.local_concrete_fields:
        if field.is_relation:
            if field.related_model is not model:
                fill(field.related_model)
                values[field.name] = field.related_model._base_manager.first()
        elif not isinstance(field, models.AutoField):
            values[field.name] = next(value for kind, value in VALUES.items() if isinstance(field, kind))
    model._base_manager.create(**values)


def main() -> None:
    django.setup()
    from django.apps import apps

    from tenants.models import CreditEntry

    found = apps.get_models(include_auto_created=True)
    for model in found:
        fill(model)
    assert all(model._base_manager.exists() for model in found)
    # The next number is not that of the last row and one.
    entry = CreditEntry.objects.all_tenants().get()
    for _ in range(5):
        entry.pk = None
        entry.save(force_insert=True)
    CreditEntry.objects.all_tenants().filter(pk__gt=3).delete()


if __name__ == "__main__":
    main()
