"""Is this installation configured so that it can work?

Each function is one Django system check: it names what is wrong, by an id, and what to do. `manage.py check` runs
all but E001 and E016, which need `--deploy` and `--database default`; a server runs every one before it serves
(`allow_serving`) and refuses to start with an error.
"""

from __future__ import annotations

import ipaddress
import math
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.db import connections

from lexicon import address_checks, agent_checks, data_checks
from lexicon.data_checks import Found, engine_name
from lexicon.server.open_files import ENOUGH, hard_limit

#: The tag all of them have.
TAG = "lexicon"

#: What a SECRET_KEY begins with that somebody copied instead of making it.
_EXAMPLES = ("changeme", "change-me", "change_me", "example", "secret", "your", "django-insecure", "replace", "todo")
#: Bounds of LEASE_SECONDS: below, a busy machine looks dead; above, its replies wait that long for another process.
_LEASE = (1.0, 60.0)
_MODEL_TIMEOUTS = [f"MODEL_{what}_SECONDS" for what in ("CONNECT", "FIRST_TOKEN", "GAP", "TOTAL")]


def register() -> None:
    """Tell Django of every check. Called once, when the apps are ready."""
    for check in _ALWAYS:
        checks.register(_as_check(check), TAG)
    checks.register(_as_check(secret_key), TAG, deploy=True)
    checks.register(data_checks.sqlite_pragmas, TAG, checks.Tags.database)


def allow_serving() -> bool:
    """Run every check, say on stderr what they find, and whether the service may start in spite of it."""
    found = checks.run_checks(tags=[TAG], include_deployment_checks=True, databases=["default"])
    for message in sorted(found, key=lambda message: -message.level):
        sys.stderr.write(f"{message.id}: {message.msg} {message.hint or ''}\n")
    connections.close_all()
    return not any(message.level >= checks.ERROR for message in found)


# --- The installation ---


def secret_key() -> Found:
    """E001. Django's own check of it only warns."""
    key = settings.SECRET_KEY
    if len(key) < 32 or len(set(key)) < 5 or key.lower().startswith(_EXAMPLES):
        yield checks.Error(
            "SECRET_KEY can be guessed: it is short, repeats itself, or is an example.",
            hint="Give it the output of: python -c 'import secrets; print(secrets.token_urlsafe(50))'.",
            id="lexicon.E001",
        )


def wildcard_hosts() -> Found:
    """E002."""
    if "*" in settings.ALLOWED_HOSTS and not settings.DEBUG:
        yield checks.Error(
            "ALLOWED_HOSTS takes any name for this server's.",
            hint="List the names it answers to, or leave it out: then it is that of PUBLIC_URL, and localhost.",
            id="lexicon.E002",
        )


def debug_in_production() -> Found:
    """E003. SQLite with DEBUG is somebody's own machine."""
    if settings.DEBUG and engine_name() == "postgresql":
        yield checks.Error(
            "DEBUG is on with PostgreSQL: error pages would show settings and traces to anybody.",
            hint="Leave DEBUG out. The log has every trace.",
            id="lexicon.E003",
        )


def public_url() -> Found:
    """W008 and W009."""
    public = urlsplit(settings.PUBLIC_URL)
    if public.scheme == "http" and not _is_local(public.hostname or ""):
        yield checks.Warning(
            f"PUBLIC_URL is {settings.PUBLIC_URL}: keys, messages and logins travel unencrypted.",
            hint="Put a proxy with TLS in front and give PUBLIC_URL its https address.",
            id="lexicon.W008",
        )
    if public.scheme == "https" and not settings.TRUSTED_PROXIES:
        yield checks.Warning(
            "PUBLIC_URL is https, so a proxy stands in front, but TRUSTED_PROXIES names none.",
            hint="Name its address or network; else everybody has the proxy's address, and 20 failed logins to the "
            "admin lock it for all browsers that have not logged in before.",
            id="lexicon.W009",
        )


def trusted_proxies() -> Found:
    """E013 and W014."""
    for proxy in settings.TRUSTED_PROXIES:
        if proxy == "*":
            yield checks.Warning(
                "TRUSTED_PROXIES is *: a caller that reaches this port may claim any address.",
                hint="Name the proxy's address or network.",
                id="lexicon.W014",
            )
        elif not _is_network(proxy):
            yield checks.Error(
                f"TRUSTED_PROXIES names {proxy!r}, which is no address and no network.",
                hint="Write it like 10.0.0.5 or 10.0.0.0/24, several separated by commas.",
                id="lexicon.E013",
            )


def durations() -> Found:
    """E010 and E018."""
    least, most = _LEASE
    if not least <= settings.LEASE_SECONDS <= most:
        yield checks.Error(
            f"LEASE_SECONDS is {settings.LEASE_SECONDS:g}.",
            hint=f"Between {least:g} and {most:g}: below, a busy process looks dead; above, the replies of a dead one "
            "wait that long. Without it, it is 6.",
            id="lexicon.E010",
        )
    for name in [
        "PING_SECONDS",
        "SLOW_READER_SECONDS",
        "HEAD_SECONDS",
        "BODY_SECONDS",
        "STATEMENT_SECONDS",
        *_MODEL_TIMEOUTS,
    ]:
        seconds = getattr(settings, name)
        if not 0 < seconds < math.inf:
            yield checks.Error(f"{name} is {seconds:g}.", hint="It is a number of seconds above 0.", id="lexicon.E018")
    if settings.DRAIN_SECONDS < 0:
        hint = "It is a number of seconds; with 0 every reply that runs is handed over at once."
        yield checks.Error(f"DRAIN_SECONDS is {settings.DRAIN_SECONDS:g}.", hint=hint, id="lexicon.E018")


def open_files() -> Found:
    """W023. Of the hard limit: the server raises its soft one to that."""
    limit = hard_limit()
    if limit < ENOUGH:
        yield checks.Warning(
            f"A process may have {limit} open files, and each connection is one.",
            hint=f"Raise the hard limit to {ENOUGH} or more: LimitNOFILE= in systemd, ulimits in compose.yaml.",
            id="lexicon.W023",
        )


# --- What they ask ---


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _as_check(check: Callable[[], Found]) -> Callable[..., list[checks.CheckMessage]]:
    """As Django calls a check."""

    def run(**kwargs: Any) -> list[checks.CheckMessage]:
        return list(check())

    return run


_ALWAYS = (
    wildcard_hosts,
    debug_in_production,
    public_url,
    trusted_proxies,
    durations,
    open_files,
    address_checks.optional_addresses,
    address_checks.port,
    data_checks.processes,
    data_checks.redis_with_sqlite,
    data_checks.database,
    agent_checks.models,
)
