"""Can there be something at the addresses that may be left out, and at the port?"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from lexicon.data_checks import Found

#: The schemes each may have, and an example.
_OPTIONAL = {
    "REDIS_URL": (("redis", "rediss", "unix"), "redis://host:6379/0"),
    "SENTRY_DSN": (("http", "https"), "https://key@sentry.example.com/1"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": (("http", "https"), "http://collector:4318"),
}


def optional_addresses() -> Found:
    """E021."""
    for name, (schemes, example) in _OPTIONAL.items():
        given = getattr(settings, name)
        if given and not is_address(given, schemes):
            # Not what was given: there may be a password in it.
            yield checks.Error(f"{name} is no address.", hint=f"Write it like {example}.", id="lexicon.E021")


def port() -> Found:
    """E022."""
    if not 0 < settings.PORT < 65_536:
        yield checks.Error(
            f"PORT is {settings.PORT}.",
            hint="It is a number from 1 to 65535. Without it, it is 8000.",
            id="lexicon.E022",
        )


def is_address(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether the text names a host, or a file where that is what its scheme is for, by one of the schemes."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    return url.scheme in schemes and bool(url.hostname or url.scheme == "unix") and port != 0
