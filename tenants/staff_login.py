"""How often may somebody try to log in to the admin?

A name is locked after 5 failures, an address after 20, each within 15 minutes, whether or not there is such a user.
Each attempt is a row before its password is looked at, so that attempts at once are counted, too.
"""

from __future__ import annotations

import ipaddress
import logging
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from lexicon import logs
from tenants.models import LoginAttempt

logger = logging.getLogger(__name__)

#: How many failures within the window lock a name, and an address.
PER_NAME = 5
PER_ADDRESS = 20
WINDOW = timedelta(minutes=15)


class Locked(Exception):
    """Too many attempts failed; this one is not looked at."""


class StaffLoginForm(AdminAuthenticationForm):
    """The admin's login, which may be tried only so often."""

    def clean(self) -> dict[str, Any]:
        """The cleaned fields. Raises ValidationError where the login fails or is locked."""
        name = self.cleaned_data.get("username")
        if name is None or not self.cleaned_data.get("password"):
            return super().clean()
        try:
            # The server has put the client's own address here, if a trusted proxy told it (lexicon/serve.py).
            address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
            do_begin(name=name, address=address)
        except Locked:
            raise forms.ValidationError(
                "Too many logins failed. Try again in 15 minutes, or ask an operator to unlock you.", code="locked"
            ) from None
        cleaned = super().clean()
        do_unlock(name=name)
        return cleaned


def do_begin(*, name: str, address: str) -> None:
    """Count an attempt, which stays counted unless `do_unlock` forgives it.

    Raises Locked; then it is not counted, so that who goes on trying is let in when the window is over.
    """
    LoginAttempt.objects.filter(at__lte=Now() - WINDOW).delete()
    attempt = LoginAttempt.objects.create(who=_who(name), address=_network(address))
    by_name = LoginAttempt.objects.filter(who=attempt.who).count()
    by_address = LoginAttempt.objects.filter(address=attempt.address).count()
    if by_name <= PER_NAME and by_address <= PER_ADDRESS:
        return
    attempt.delete()
    logger.warning("a staff login is locked", extra=logs.fields(address=address))
    raise Locked


def do_unlock(*, name: str | None) -> int:
    """Forget the failures of a name, or all of them; how many there were."""
    forgotten = Q(who=_who(name)) if name is not None else Q()
    return LoginAttempt.objects.filter(forgotten).delete()[0]


def _who(name: str) -> str:
    return salted_hmac("lexicon.login", name, algorithm="sha256").hexdigest()


def _network(address: str) -> str:
    """The address, or the /64 network that one customer of an IPv6 provider has (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
