"""Who gets the page, and what does its server hand out?"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from chats.models import Chat
from tenants.models import ApiKey, Tenant
from tenants.provisioning import do_revoke_key
from tests.support.actors import Actor, new_actor

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once


@pytest.fixture
def acme(pristine: str, django_db_blocker: Any, settings: Any) -> Iterator[Actor]:
    """Whose page it is. Nothing is rolled back: the page reads in threads of its own.

    The empty copy of the database is made before anything is in it.
    """
    with django_db_blocker.unblock():
        acme = new_actor("Acme & Söhne")
        settings.CHAT_PAGE_TENANT = acme.tenant_id
        yield acme
        connections.close_all()


def test_there_is_no_page_unless_a_tenant_is_named(client: Client, acme: Actor, settings: Any) -> None:
    for named in (None, uuid.uuid4()):
        settings.CHAT_PAGE_TENANT = named
        assert client.get("/").status_code == 404
        assert client.post("/chat").status_code == 404


def test_the_log_says_why_there_is_no_page(
    client: Client, acme: Actor, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHAT_PAGE_TENANT = None
    client.get("/")
    assert "CHAT_PAGE_TENANT" not in caplog.text
    settings.CHAT_PAGE_TENANT = uuid.uuid4()
    client.get("/")
    assert "CHAT_PAGE_TENANT names no active tenant" in caplog.text


def test_there_is_no_page_of_a_tenant_that_is_off(client: Client, acme: Actor) -> None:
    Tenant.objects.filter(id=acme.tenant_id).update(is_active=False)
    assert (client.get("/").status_code, client.post("/chat").status_code) == (404, 404)


def test_there_is_no_page_without_a_key_its_tokens_could_die_with(client: Client, acme: Actor) -> None:
    do_revoke_key(ApiKey.objects.for_tenant(acme.tenant_id).get(kind=ApiKey.Kind.TENANT))
    assert (client.get("/").status_code, client.post("/chat").status_code) == (404, 404)


def test_the_page_allows_nothing_from_elsewhere(client: Client, acme: Actor) -> None:
    answer = client.get("/", headers={"Host": "localhost:8123"})
    assert answer.headers["Content-Security-Policy"].split("; ") == [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self' ws://localhost:8123 wss://localhost:8123",
        "img-src 'self' data:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ]
    assert "Acme &amp; Söhne" in answer.text


def test_a_look_at_its_headers_is_answered(client: Client, acme: Actor) -> None:
    assert client.head("/").status_code == 200
    assert not Chat.objects.for_tenant(acme.tenant_id).exists()


def test_no_key_reaches_the_browser(client: Client, acme: Actor) -> None:
    shown = client.get("/").text + client.post("/chat").text + client.cookies.output()
    assert acme.tenant_key not in shown
    assert acme.customer_key not in shown
    assert "lxt_" not in shown


def test_the_token_is_given_to_this_site_only(acme: Actor) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.get("/")
    assert strict.post("/chat").status_code == 403
    token = strict.cookies["csrftoken"].value
    assert strict.post("/chat", headers={"X-CSRFToken": token}).status_code == 200
    assert Chat.objects.for_tenant(acme.tenant_id).count() == 1


def test_a_visitor_comes_back_to_their_chat(client: Client, acme: Actor) -> None:
    first, again = client.post("/chat").json(), client.post("/chat").json()
    assert again["chat_id"] == first["chat_id"]
    assert client.cookies["lexicon_visitor"]["httponly"]


def test_a_visitor_whose_chat_was_deleted_gets_another(client: Client, acme: Actor) -> None:
    first = client.post("/chat").json()
    Chat.objects.for_tenant(acme.tenant_id).delete()
    assert client.post("/chat").json()["chat_id"] != first["chat_id"]


def test_a_forged_cookie_is_a_stranger(client: Client, acme: Actor) -> None:
    first = client.post("/chat").json()
    client.cookies["lexicon_visitor"] = client.cookies["lexicon_visitor"].value[:-1]
    assert client.post("/chat").json()["chat_id"] != first["chat_id"]


def test_nothing_is_made_by_looking(client: Client, acme: Actor) -> None:
    assert client.get("/").status_code == 200
    assert not Chat.objects.for_tenant(acme.tenant_id).exists()


# --- The widget ---


def allow(acme: Actor, *origins: str) -> None:
    Tenant.objects.filter(id=acme.tenant_id).update(allowed_origins=list(origins))


def ancestors(client: Client, acme: Actor) -> str:
    answer = client.get(f"/widget/{acme.tenant_id}")
    assert answer.status_code == 200
    return dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))["frame-ancestors"]


def test_the_tenants_list_says_who_may_frame_the_widget(client: Client, acme: Actor, settings: Any) -> None:
    settings.CHAT_PAGE_TENANT = None
    assert ancestors(client, acme) == "'none'"
    allow(acme, "https://shop.example.com", "http://[::1]:9000")
    assert ancestors(client, acme) == "https://shop.example.com http://[::1]:9000"


def test_an_origin_can_not_end_the_policy(client: Client, acme: Actor) -> None:
    allow(acme, "https://a;script-src", "https://b c", "https://ü.example", "*", "https://shop.example.com")
    assert ancestors(client, acme) == "https://shop.example.com"


def test_the_widget_needs_no_cookie_and_may_be_framed(client: Client, acme: Actor) -> None:
    answer = client.get(f"/widget/{acme.tenant_id}")
    assert not answer.cookies
    assert "X-Frame-Options" not in answer
    assert "csrf" not in answer.text
    assert "Acme &amp; Söhne" in answer.text


def test_there_is_no_widget_of_a_tenant_that_is_unknown_or_off(client: Client, acme: Actor) -> None:
    for address in (f"/widget/{uuid.uuid4()}", "/widget/x", "/widget/"):
        assert client.get(address).status_code == 404
    Tenant.objects.filter(id=acme.tenant_id).update(is_active=False)
    assert client.get(f"/widget/{acme.tenant_id}").status_code == 404


def test_the_script_may_be_loaded_from_any_site_and_kept_for_minutes(client: Client, acme: Actor) -> None:
    answer = client.get("/widget.js")
    assert answer["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer["Cache-Control"] == "public, max-age=300"
    assert client.post("/widget.js").status_code == 405
