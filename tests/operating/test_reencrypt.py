"""`manage.py reencrypt`: afterwards the old SECRET_KEY opens nothing that the new one does not."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection

from core.db.fields import Unreadable
from tenants.models import Tenant
from tests.support.actors import Actor, new_actor
from tests.webhooks.conftest import new_endpoint
from webhooks.models import Endpoint

ChangeKey = Callable[..., None]


@pytest.fixture
def acme(db: None) -> Actor:
    """A tenant with a secret of each kind."""
    acme = new_actor("Acme")
    Tenant.objects.filter(id=acme.tenant_id).update(model_api_key="key-of-a-model")
    endpoint = new_endpoint(acme)
    Endpoint.objects.for_tenant(acme.tenant_id).update(previous_secret="whsec_before")
    assert endpoint.secret
    return acme


@pytest.fixture
def change_key(settings: LazySettings) -> ChangeKey:
    """A new SECRET_KEY; the old one is kept as a fallback, or not."""

    def change(*, keep: bool) -> None:
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY] if keep else []
        settings.SECRET_KEY = "another" * 10

    return change


def secrets(acme: Actor) -> list[str]:
    endpoint = Endpoint.objects.for_tenant(acme.tenant_id).get()
    return [Tenant.objects.get(id=acme.tenant_id).model_api_key, endpoint.secret, endpoint.previous_secret]


def stored() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT model_api_key FROM tenants_tenant")
        keys = cursor.fetchall()
        cursor.execute("SELECT secret, previous_secret FROM webhooks_endpoint")
        return [text for row in (*keys, *cursor.fetchall()) for text in row]


def test_the_old_key_is_needed_no_more(acme: Actor, change_key: ChangeKey, settings: LazySettings) -> None:
    before = secrets(acme)
    change_key(keep=True)
    out = io.StringIO()
    call_command("reencrypt", stdout=out)
    settings.SECRET_KEY_FALLBACKS = []
    assert secrets(acme) == before
    assert out.getvalue() == "Secrets encrypted under SECRET_KEY: 3.\n"
    assert not set(before) & set(stored())


def test_what_no_key_opens_is_named_and_left_as_it_is(acme: Actor, change_key: ChangeKey) -> None:
    before = stored()
    change_key(keep=False)
    with pytest.raises(CommandError, match=f"tenant {acme.tenant_id}, endpoint .*SECRET_KEY_FALLBACKS"):
        call_command("reencrypt", stdout=io.StringIO())
    assert stored() == before
    assert all(isinstance(secret, Unreadable) for secret in secrets(acme))


def test_no_secret_stays_none(db: None) -> None:
    acme = new_actor("Acme")
    out = io.StringIO()
    call_command("reencrypt", stdout=out)
    assert Tenant.objects.get(id=acme.tenant_id).model_api_key == ""
    assert out.getvalue() == "Secrets encrypted under SECRET_KEY: 0.\n"
