"""Endpoints and what was sent to them, in the admin."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.db.fields import Unreadable
from tests.staff.conftest import client_of, olga, sam, staff  # noqa: F401 (fixtures)
from tests.support.actors import Actor
from tests.webhooks.conftest import deliveries, new_delivery, new_endpoint
from webhooks.models import Delivery, Endpoint

ENDPOINTS = "/admin/webhooks/endpoint/"
DELIVERIES = "/admin/webhooks/delivery/"


def add(client: Client, actor: Actor, **fields: Any) -> Any:
    form = {"tenant": actor.tenant_id, "url": "https://acme.example/hook", "events": ["message.created"], **fields}
    return client.post(ENDPOINTS + "add/", form)


def only(actor: Actor) -> Endpoint:
    return Endpoint.objects.for_tenant(actor.tenant_id).get()


def page_of(endpoint: Endpoint) -> str:
    return f"{ENDPOINTS}{endpoint.id}/change/"


def save(client: Client, endpoint: Endpoint, **fields: Any) -> Any:
    form = {"url": endpoint.url, "events": endpoint.events, "is_enabled": "on", **fields}
    return client.post(page_of(endpoint), {name: value for name, value in form.items() if value is not None})


def secret_on(page: Any) -> str:
    [found] = re.findall(r"whsec_[A-Za-z0-9+/=]{44}", page.content.decode())
    return found


def test_a_new_endpoint_shows_its_secret_once(olga: Client, acme: Actor) -> None:  # noqa: F811
    response = add(olga, acme, events=["message.created", "chat.closed"])
    secret = secret_on(response)
    endpoint = only(acme)
    assert (endpoint.secret, endpoint.events) == (secret, ["message.created", "chat.closed"])
    assert "no-store" in response["Cache-Control"]
    for path in (ENDPOINTS, page_of(endpoint), f"{ENDPOINTS}{endpoint.id}/history/", "/admin/"):
        assert secret[6:-4] not in olga.get(path).content.decode()
    assert f"whsec_…{secret[-4:]}" in olga.get(page_of(endpoint)).content.decode()
    kept = [*LogEntry.objects.values_list("object_repr", "change_message"), *get_messages(response.wsgi_request)]
    assert secret[6:-4] not in repr(kept)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://acme.example/", "must begin with https://"),
        ("https://169.254.169.254/latest/", "is not on the public internet"),
        ("https://acme.example:22/", "must use port 443 or 8443"),
    ],
)
def test_a_forbidden_address_is_not_saved_and_says_why(
    olga: Client,  # noqa: F811
    acme: Actor,
    url: str,
    why: str,
) -> None:
    assert f"This address {why}." in add(olga, acme, url=url).content.decode()
    assert not Endpoint.objects.for_tenant(acme.tenant_id).exists()


def test_an_endpoint_wants_at_least_one_event(olga: Client, acme: Actor) -> None:  # noqa: F811
    assert "This field is required" in add(olga, acme, events=[]).content.decode()


def test_a_new_secret_is_shown_once_and_the_old_one_signs_on(olga: Client, acme: Actor) -> None:  # noqa: F811
    endpoint = new_endpoint(acme)
    secret = secret_on(save(olga, endpoint, _rotate="Make a new secret"))
    changed = only(acme)
    assert (changed.secret, changed.previous_secret) == (secret, endpoint.secret)
    assert changed.previous_until is not None
    assert changed.previous_until > timezone.now()
    assert "signs too until" in olga.get(page_of(endpoint)).content.decode()


def test_saving_keeps_the_secret(olga: Client, acme: Actor) -> None:  # noqa: F811
    endpoint = new_endpoint(acme)
    assert save(olga, endpoint, url="https://acme.example/other").status_code == 302
    assert (only(acme).url, only(acme).secret) == ("https://acme.example/other", endpoint.secret)


def test_a_secret_that_can_not_be_read_breaks_no_page(olga: Client, acme: Actor) -> None:  # noqa: F811
    endpoint = new_endpoint(acme)
    Endpoint.objects.for_tenant(acme.tenant_id).update(secret=Unreadable("from another installation"))
    assert olga.get(ENDPOINTS).status_code == 200
    assert Unreadable.PROBLEM in olga.get(page_of(endpoint)).content.decode()
    assert secret_on(save(olga, endpoint, _rotate="Make a new secret")) == only(acme).secret


def test_what_was_switched_off_by_itself_greets_staff(olga: Client, sam: Client, acme: Actor) -> None:  # noqa: F811
    endpoint = new_endpoint(acme)
    Endpoint.objects.for_tenant(acme.tenant_id).update(is_enabled=False, disabled_reason="2026-01-31: answered 410")
    for path in ("/admin/", ENDPOINTS, page_of(endpoint)):
        assert "2026-01-31: answered 410" in olga.get(path).content.decode()
    assert "answered 410" not in sam.get("/admin/").content.decode()
    save(olga, endpoint)
    assert (only(acme).is_enabled, only(acme).disabled_reason) == (True, "")


def test_an_endpoint_is_switched_off_not_deleted(olga: Client, acme: Actor) -> None:  # noqa: F811
    endpoint = new_endpoint(acme)
    assert olga.post(f"{ENDPOINTS}{endpoint.id}/delete/", {"post": "yes"}).status_code == 403
    save(olga, endpoint, is_enabled=None)
    assert not only(acme).is_enabled
    assert "switched off" in olga.get(ENDPOINTS).content.decode()


def test_a_test_event_is_sent(olga: Client, acme: Actor) -> None:  # noqa: F811
    endpoint = new_endpoint(acme)
    olga.post(ENDPOINTS, {"action": "send_test", "_selected_action": [str(endpoint.id)]})
    [delivery] = deliveries(acme)
    assert (delivery.event, delivery.state, delivery.endpoint_id) == ("webhook.test", "pending", endpoint.id)


def test_no_test_is_sent_where_it_is_switched_off(olga: Client, acme: Actor) -> None:  # noqa: F811
    endpoint = new_endpoint(acme)
    save(olga, endpoint, is_enabled=None)
    page = olga.post(ENDPOINTS, {"action": "send_test", "_selected_action": [str(endpoint.id)]}, follow=True)
    assert "is switched off: nothing was sent" in page.content.decode()
    assert deliveries(acme) == []


def test_the_list_says_why_one_died_and_sends_it_again(olga: Client, acme: Actor) -> None:  # noqa: F811
    delivery = new_delivery(new_endpoint(acme), state="dead", attempts=10, last_error="answered 500; it was tried")
    page = olga.get(DELIVERIES, {"state__exact": "dead"}).content.decode()
    assert "answered 500; it was tried" in page
    olga.post(DELIVERIES, {"action": "send_again", "_selected_action": [str(delivery.id)]})
    [again] = deliveries(acme)
    assert (again.id, again.state, again.attempts) == (delivery.id, "pending", 0)


def test_all_dead_letters_of_an_endpoint_are_sent_again_at_once(olga: Client, acme: Actor) -> None:  # noqa: F811
    endpoint, other = new_endpoint(acme), new_endpoint(acme)
    for each in (endpoint, endpoint, other):
        new_delivery(each, state="dead")
    olga.post(ENDPOINTS, {"action": "send_dead_letters_again", "_selected_action": [str(endpoint.id)]})
    states = sorted((row.endpoint_id == endpoint.id, row.state) for row in deliveries(acme))
    assert states == [(False, "dead"), (True, "pending"), (True, "pending")]


def test_who_may_only_look_sends_nothing(acme: Actor) -> None:
    vic = client_of(staff("vic", "view_delivery", "view_endpoint"))
    delivery = new_delivery(new_endpoint(acme), state="dead")
    assert "Send again" not in vic.get(DELIVERIES).content.decode()
    assert "Make a new secret" not in vic.get(page_of(only(acme))).content.decode()
    vic.post(DELIVERIES, {"action": "send_again", "_selected_action": [str(delivery.id)]})
    assert [row.state for row in deliveries(acme)] == ["dead"]
    assert save(vic, only(acme), _rotate="1").status_code == 403


@pytest.mark.parametrize("by", ["webhook_id", "id", "chat_id"])
def test_a_delivery_is_found_by_its_ids(olga: Client, acme: Actor, by: str) -> None:  # noqa: F811
    endpoint = new_endpoint(acme)
    delivery = new_delivery(endpoint, chat_id="550e8400-e29b-41d4-a716-446655440000")
    new_delivery(endpoint)
    page = olga.get(DELIVERIES, {"q": str(getattr(delivery, by))}).content.decode()
    assert re.findall(r'<a href="[^"]*/change/[^"]*">(msg_\w{32})</a>', page) == [delivery.webhook_id]


def test_its_page_says_what_became_of_it_and_not_what_was_said(olga: Client, acme: Actor) -> None:  # noqa: F811
    delivery = new_delivery(new_endpoint(acme), body='{"messages":"my secret sorrow"}', last_error="answered 503")
    page = olga.get(f"{DELIVERIES}{delivery.id}/change/").content.decode()
    assert "answered 503" in page
    assert "sorrow" not in page


ORDERS = ["", "?state__exact=dead", "?endpoint__id__exact={endpoint.id}"]


@pytest.mark.parametrize("query", ORDERS)
def test_deliveries_are_read_a_page_at_a_time(
    olga: Client,  # noqa: F811
    acme: Actor,
    query: str,
) -> None:
    endpoint = new_endpoint(acme)
    told = {"tenant_id": acme.tenant_id, "endpoint": endpoint, "event": "message.created", "state": "dead"}
    Delivery.objects.bulk_create(Delivery(body="{}", **told) for _ in range(300))
    with CaptureQueriesContext(connection) as captured:
        rows = olga.get(DELIVERIES + query.format(endpoint=endpoint)).context["cl"].result_list
    reads = [query["sql"] for query in captured.captured_queries if 'FROM "webhooks_delivery"' in query["sql"]]
    assert reads
    assert all(" LIMIT " in sql for sql in reads)
    assert len(rows) < 300
