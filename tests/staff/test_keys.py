"""Keys in the admin: shown once, recognised, revoked."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from core.errors import ApiError
from tenants.authentication import open_key
from tenants.models import ApiKey
from tests.staff.conftest import client_of, staff
from tests.support.actors import Actor

LIST = "/admin/tenants/apikey/"


def make_key(olga: Client, acme: Actor, **fields: str):  # type: ignore[no-untyped-def]
    return olga.post(LIST + "add/", {"tenant": acme.tenant_id, "kind": "tenant", "name": "shop", **fields})


def shown_key(page: str) -> str:
    found = re.findall(r"lx[tc]_[0-9A-Za-z]{36}", page)
    assert len(found) == 1
    return found[0]


def test_a_new_key_is_shown_and_opens_its_tenant(olga: Client, acme: Actor) -> None:
    plain = shown_key(make_key(olga, acme).content.decode())
    key = open_key(plain)
    assert (key.tenant_id, key.kind, key.name, key.created_by.username) == (acme.tenant_id, "tenant", "shop", "olga")


def test_the_page_that_shows_a_key_is_stored_by_nobody(olga: Client, acme: Actor) -> None:
    response = make_key(olga, acme)
    assert "no-store" in response["Cache-Control"]
    shown_key(response.content.decode())


def test_a_key_is_shown_nowhere_after_its_page(olga: Client, acme: Actor) -> None:
    response = make_key(olga, acme)
    plain = shown_key(response.content.decode())
    key = open_key(plain)
    assert plain not in str(response.headers) + str(response.cookies)
    for path in (LIST, f"{LIST}{key.id}/change/", f"{LIST}{key.id}/history/", "/admin/"):
        page = olga.get(path).content.decode()
        assert plain[4:-4] not in page
        assert str(key) in page
    assert LogEntry.objects.filter(object_id=str(key.id)).exists()
    kept = [*LogEntry.objects.values_list("object_repr", "change_message"), *get_messages(response.wsgi_request)]
    kept += [session.get_decoded() for session in Session.objects.all()]
    assert plain[4:-4] not in repr(kept)


def test_a_key_cannot_be_changed(olga: Client, acme: Actor) -> None:
    key = open_key(acme.tenant_key)
    page = olga.get(f"{LIST}{key.id}/change/").content.decode()
    assert 'name="name"' not in page
    assert 'name="kind"' not in page


def test_a_key_cannot_be_deleted(olga: Client, acme: Actor) -> None:
    key = open_key(acme.tenant_key)
    assert olga.post(f"{LIST}{key.id}/delete/", {"post": "yes"}).status_code == 403
    assert open_key(acme.tenant_key) == key


def test_a_key_that_would_be_expired_is_not_made(olga: Client, acme: Actor) -> None:
    before = ApiKey.objects.all_tenants().count()
    yesterday = (timezone.now() - timedelta(days=1)).date().isoformat()
    page = make_key(olga, acme, expires_at_0=yesterday, expires_at_1="12:00:00").content.decode()
    assert "This is in the past." in page
    assert ApiKey.objects.all_tenants().count() == before


def test_the_button_revokes(olga: Client, acme: Actor) -> None:
    key = open_key(acme.tenant_key)
    assert "Revoke this key" in olga.get(f"{LIST}{key.id}/change/").content.decode()
    assert olga.post(f"{LIST}{key.id}/change/").status_code == 302
    with pytest.raises(ApiError, match="Invalid API key"):
        open_key(acme.tenant_key)
    assert "Revoke this key" not in olga.get(f"{LIST}{key.id}/change/").content.decode()


def test_the_action_revokes_the_selected_keys_only(olga: Client, acme: Actor) -> None:
    key = open_key(acme.tenant_key)
    # Even where a page asks for all keys.
    olga.post(LIST, {"action": "revoke", "_selected_action": [str(key.id)], "select_across": "1"})
    key.refresh_from_db()
    assert key.revoked_at is not None
    open_key(acme.customer_key)


def test_who_may_only_see_keys_cannot_revoke_them(vera: Client, acme: Actor) -> None:
    key = open_key(acme.tenant_key)
    viewer = client_of(staff("vic", "view_apikey"))
    assert viewer.post(f"{LIST}{key.id}/change/").status_code == 403
    assert vera.get(LIST).status_code == 403
    open_key(acme.tenant_key)


def test_the_list_says_the_state_of_each_key(olga: Client, acme: Actor, globex: Actor) -> None:
    ApiKey.objects.for_tenant(acme.tenant_id).filter(kind="tenant").update(expires_at=timezone.now())
    ApiKey.objects.for_tenant(acme.tenant_id).filter(kind="customer").update(revoked_at=timezone.now())
    globex.tenant.is_active = False
    globex.tenant.save()
    page = olga.get(LIST).content.decode()
    states = re.findall(r'field-state">([^<]+)<', page)
    assert sorted(states) == ["expired", "revoked", "tenant is off", "tenant is off"]
