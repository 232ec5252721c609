"""How are JSON and secrets kept in a column?"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
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


class Unreadable(str):
    """A secret that no key of this installation opens, as it is stored: nothing is lost, and nothing is usable."""

    __slots__ = ()

    #: What to do about it, in words for staff.
    PROBLEM = (
        "can not be read: it was stored under another SECRET_KEY. "
        "Put that one into SECRET_KEY_FALLBACKS, or make a new secret."
    )


class EncryptedText(models.TextField):
    """A secret that is text in Python and encrypted in the column.

    Its keys are derived from SECRET_KEY, which writes, and SECRET_KEY_FALLBACKS, which are tried too. What none of
    them opens is read as `Unreadable`, and written back as it was.
    """

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        """The secret a row holds."""
        if not value:
            return value
        try:
            return _key_ring().decrypt(value.encode()).decode()
        except InvalidToken:
            return Unreadable(value)

    def get_prep_value(self, value: Any) -> str | None:
        """What is stored. No secret ("") stays none."""
        if not value or isinstance(value, Unreadable):
            return value
        return _key_ring().encrypt(str(value).encode()).decode()

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """What a migration says of the column."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs


def _key_ring() -> MultiFernet:
    return _ring((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@cache
def _ring(secrets: tuple[str, ...]) -> MultiFernet:
    # The info string keeps these keys apart from whatever else is made of SECRET_KEY (RFC 5869, section 3.2).
    derived = [HKDF(SHA256(), 32, salt=None, info=b"lexicon encrypted fields").derive(s.encode()) for s in secrets]
    return MultiFernet([Fernet(urlsafe_b64encode(key)) for key in derived])
