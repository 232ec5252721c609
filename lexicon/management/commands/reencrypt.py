"""How does an operator get rid of an old SECRET_KEY?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction

from core.db.fields import EncryptedText, Unreadable


class Command(BaseCommand):
    help = "Encrypt every stored secret under SECRET_KEY, so that none of SECRET_KEY_FALLBACKS is needed to read them."

    def handle(self, *args: Any, **options: Any) -> None:
        written, unreadable = 0, []
        for model, name in _columns():
            with transaction.atomic():
                # Locked, or a secret that staff give meanwhile would be overwritten with the one before.
                rows = model._base_manager.select_for_update().exclude(**{name: ""}).values_list("pk", name)
                for key, secret in rows:
                    if isinstance(secret, Unreadable):
                        unreadable.append(f"{model._meta.verbose_name} {key}")
                    else:
                        model._base_manager.filter(pk=key).update(**{name: secret})
                        written += 1
        self.stdout.write(f"Secrets encrypted under SECRET_KEY: {written}.")
        if unreadable:
            raise CommandError(
                f"No key opens what these hold, and it was left as it is: {', '.join(unreadable)}. Put the SECRET_KEY "
                "it was stored under into SECRET_KEY_FALLBACKS and start again, or give them new secrets."
            )


def _columns() -> Iterator[tuple[type[models.Model], str]]:
    """Every column that holds secrets, by its model and name."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedText):
                yield model, field.name
