"""How often may somebody try to log in to the admin?

Within 15 minutes 5 failures lock a name for the network they came from, 20 lock a network, and 50 lock a name for all
networks; whether or not there is such a user. A browser that has logged in with this name before
(staff/known_browsers.py) has 5 failures of its own instead: nothing that others do locks it out, and a stolen cookie
is good for no more than those. Its failures count among everybody's besides.

Each attempt is a row before its password is looked at, so that attempts at once are counted, too. A refused attempt is
not stored: to go on trying prolongs no lock and fills no table.

A password's hash takes a core for some tenths of a second. So a process looks at one attempt at a time, and at one of a
known browser beside it, which waits for no stranger.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from core.addresses import network_of
from core.db.advisory_lock import take_turn
from core.db.executor import release_connections
from core.refusals import refused
from staff.known_browsers import known_browser, may_be_known
from tenants.models import LoginAttempt

#: How many failures within the window lock a name for one network, a network, a name, and a browser that is known.
PER_NAME_AND_NETWORK = 5
PER_NETWORK = 20
PER_NAME = 50
PER_BROWSER = 5
WINDOW = timedelta(minutes=15)

#: How long an attempt waits until those before it were looked at: a person waits no longer.
TURN_SECONDS = 10.0
_turns = {"known": threading.Lock(), "unknown": threading.Lock()}
#: To look who is known takes a statement and, in a request's own thread, mostly a connection: one at a time.
_looking = threading.Lock()

#: The turn that attempts take to be counted. One for all is enough: it is held for some statements, and a password's
#: hash takes a hundred times as long.
_LOCK = int.from_bytes(b"logins", "big")


class Locked(Exception):
    """Too many attempts failed; this one is not looked at. `until` is when the next may be."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


class StaffLoginForm(AdminAuthenticationForm):
    """The admin's login, which may be tried only so often."""

    def clean(self) -> dict[str, Any]:
        """The cleaned fields. Raises ValidationError where the login fails or is locked."""
        name = self.cleaned_data.get("username")
        if name is None or not self.cleaned_data.get("password"):
            return super().clean()
        request = self.request or HttpRequest()
        browser = ""
        if may_be_known(request):
            with _looking:
                browser = known_browser(request, name)
        # The server has put the client's own address here, if a trusted proxy told it (lexicon/http/proxies.py).
        address = request.META.get("REMOTE_ADDR", "")
        with _turn(browser, address):
            try:
                attempt = do_begin(name=name, address=address, browser=browser)
            except Locked as locked:
                raise forms.ValidationError(_explain(locked, browser), code="locked") from None
            cleaned = super().clean()
            do_forgive(attempt)
            return cleaned


@contextmanager
def _turn(browser: str, address: str) -> Iterator[None]:
    """Look at an attempt in here. Raises ValidationError where too many wait to be looked at."""
    if not connection.in_atomic_block:
        # Who waits must hold none of the few connections that there are.
        release_connections()
    turn = _turns["known" if browser else "unknown"]
    if not turn.acquire(timeout=TURN_SECONDS):
        refused("logins", address=address)
        raise forms.ValidationError("Too many people log in at this moment. Try again in a minute.", code="busy")
    try:
        yield
    finally:
        turn.release()


def do_begin(*, name: str, address: str, browser: str = "") -> LoginAttempt:
    """Count an attempt, which stays counted as a failure unless `do_forgive` forgives it.

    `address` is the client's; `browser` what `known_browser` says, "" for one that is not known. Raises Locked; then
    nothing is counted or written.
    """
    attempt = LoginAttempt(who=_who(name), address=network_of(address), browser=browser)
    try:
        # First without the lock: being refused a million times costs some reads.
        _check(attempt)
        with transaction.atomic():
            take_turn(_LOCK)
            LoginAttempt.objects.filter(at__lte=Now() - WINDOW).delete()
            _check(attempt)
            attempt.save()
    except Locked:
        refused("logins", address=address)
        raise
    return attempt


def do_forgive(attempt: LoginAttempt) -> None:
    """Forget `attempt`, which succeeded, with the failures of its own: of its browser, or of its name and network."""
    own = LoginAttempt.objects.filter(who=attempt.who, browser=attempt.browser)
    if not attempt.browser:
        own = own.filter(address=attempt.address)
    own.delete()


def do_unlock(*, name: str | None) -> int:
    """Forget the failures of a name, or all of them; how many there were."""
    forgotten = Q(who=_who(name)) if name is not None else Q()
    return LoginAttempt.objects.filter(forgotten).delete()[0]


def _check(attempt: LoginAttempt) -> None:
    """Raises Locked where a bound of `attempt` is used up. Reads no more rows than the bounds say."""
    recent = LoginAttempt.objects.filter(at__gt=Now() - WINDOW).order_by("-at")
    until = []
    for bound, most in _bounds(attempt):
        latest = list(recent.filter(bound).values_list("at", flat=True)[:most])
        if len(latest) == most:
            until.append(latest[-1] + WINDOW)
    if until:
        raise Locked(max(until))


def _bounds(attempt: LoginAttempt) -> list[tuple[Q, int]]:
    if attempt.browser:
        return [(Q(browser=attempt.browser), PER_BROWSER)]
    return [
        (Q(who=attempt.who, address=attempt.address), PER_NAME_AND_NETWORK),
        (Q(address=attempt.address), PER_NETWORK),
        (Q(who=attempt.who), PER_NAME),
    ]


def _explain(locked: Locked, browser: str) -> str:
    minutes = max(1, math.ceil((locked.until - timezone.now()) / timedelta(minutes=1)))
    elsewhere = "" if browser else ", use a browser that has logged in with this name before"
    return (
        f"Too many logins failed. Try again in {minutes} minute{'' if minutes == 1 else 's'}{elsewhere}, "
        "or have an operator run `manage.py unlock_login`."
    )


def _who(name: str) -> str:
    return salted_hmac("lexicon.login", name, algorithm="sha256").hexdigest()
