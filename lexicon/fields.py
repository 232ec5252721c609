"""How is JSON kept in a column?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from django.db import models


class JSONText(models.TextField):
    """A JSON value kept as compact text.

    PostgreSQL's jsonb reorders keys and turns 1e308 into an integer of 309 digits, which no JSON
    encoder writes back. What a client gave is sent back as it came, so the text is kept.
    """

    # What a type checker takes the column's values for.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        """The value a row holds."""
        return None if value is None else orjson.loads(value)

    def get_prep_value(self, value: Any) -> str | None:
        """The text that is stored."""
        return None if value is None else orjson.dumps(value).decode()

    def to_python(self, value: Any) -> Any:
        """The value a form or a fixture gives."""
        return orjson.loads(value) if isinstance(value, str) else value

    def value_to_string(self, obj: models.Model) -> str:
        """The text a fixture holds."""
        return orjson.dumps(self.value_from_object(obj)).decode()

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """What a migration says of the column."""
        # To a migration it is a plain text column, so that no migration imports our code.
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs
