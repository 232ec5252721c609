"""Has this browser logged in to the admin with this name before?

A cookie says so, one for each user: an id of the browser, signed for this user with this password. It lets nobody in;
it only keeps the failures of others from locking this browser out (staff/login.py). A new password ends it, and
so does a new hash of the same one, as it ends Django's sessions.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

#: How long after its last login a browser is known.
LIFE = timedelta(days=180)
_COOKIE = "lexicon_browser_"


def known_browser(request: HttpRequest, name: str) -> str:
    """The id of the browser, or "" where it has not logged in with this name and its present password.

    Does the same whether or not there is such a user.
    """
    pk, password = User.objects.filter(username=name).values_list("pk", "password").first() or (0, "")
    try:
        return _signer(pk, password).unsign(request.COOKIES.get(cookie_name(pk), ""), max_age=LIFE)
    except BadSignature:
        return ""


def may_be_known(request: HttpRequest) -> bool:
    """Whether the browser shows any cookie of those that `remember_browser` gives, of whomever; asks nobody."""
    return any(name.startswith(_COOKIE) for name in request.COOKIES)


def remember_browser(response: HttpResponseBase, user: Any) -> None:
    """Have the browser that gets `response` known as one that has logged in as `user`."""
    response.set_cookie(
        cookie_name(user.pk),
        _signer(user.pk, user.password).sign(secrets.token_urlsafe(16)),
        max_age=LIFE,
        path=reverse("admin:index"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def cookie_name(pk: int) -> str:
    """The cookie of a user, by the user's primary key: colleagues at one machine have one each."""
    return f"{_COOKIE}{pk}"


def _signer(pk: int, password: str) -> TimestampSigner:
    """`password` is the hash that is stored. Keys of before (SECRET_KEY_FALLBACKS) verify, too."""
    return TimestampSigner(salt=f"lexicon.known_browsers:{pk}:{password}")
