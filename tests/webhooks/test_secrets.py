"""A secret at rest is read by this installation's keys and by nothing else."""

from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.db import connection

from core.db.fields import Unreadable
from tests.support.actors import Actor
from tests.webhooks.conftest import new_endpoint
from webhooks.models import Endpoint


def in_the_column(endpoint: Endpoint) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM webhooks_endpoint")
        [(stored,)] = cursor.fetchall()
    return str(stored)


@pytest.fixture
def endpoint(acme: Actor) -> Endpoint:
    return new_endpoint(acme)


def read(endpoint: Endpoint) -> Endpoint:
    return Endpoint.objects.for_tenant(endpoint.tenant_id).get(id=endpoint.id)


def test_the_column_does_not_hold_it(endpoint: Endpoint) -> None:
    assert endpoint.secret.startswith("whsec_")
    assert endpoint.secret[6:20] not in in_the_column(endpoint)
    assert read(endpoint).secret == endpoint.secret


def test_no_secret_stays_none(endpoint: Endpoint) -> None:
    assert read(endpoint).previous_secret == ""


def test_after_the_key_was_changed_the_fallback_opens_it(endpoint: Endpoint, settings: LazySettings) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 10
    assert read(endpoint).secret == endpoint.secret


def test_what_is_written_again_needs_the_old_key_no_more(endpoint: Endpoint, settings: LazySettings) -> None:
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 10
    read(endpoint).save()
    settings.SECRET_KEY_FALLBACKS = []
    assert read(endpoint).secret == endpoint.secret


def test_what_no_key_opens_is_said_so_and_kept(endpoint: Endpoint, settings: LazySettings) -> None:
    stored = in_the_column(endpoint)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another" * 10
    unreadable = read(endpoint)
    assert isinstance(unreadable.secret, Unreadable)
    assert "SECRET_KEY_FALLBACKS" in unreadable.secret_hint
    unreadable.save()
    assert in_the_column(endpoint) == stored
    settings.SECRET_KEY = old
    assert read(endpoint).secret == endpoint.secret


def test_a_column_that_holds_nonsense_is_unreadable_too(endpoint: Endpoint) -> None:
    Endpoint.objects.for_tenant(endpoint.tenant_id).update(secret=Unreadable("nonsense ☂"))
    assert isinstance(read(endpoint).secret, Unreadable)
