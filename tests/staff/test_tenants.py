"""Tenants in the admin: made with their account, limited, given credits."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client

from tenants.models import Account, CreditEntry, EndUser, Tenant
from tests.staff.conftest import NewChat, client_of, staff
from tests.support.actors import Actor

LIST = "/admin/tenants/tenant/"


def form(**fields: Any) -> dict[str, Any]:
    limits = {field.name: field.default for field in Tenant._meta.fields if isinstance(field.default, int | float)}
    return {"name": "Initech", **limits, **fields}


def change(olga: Client, acme: Actor, **fields: Any):  # type: ignore[no-untyped-def]
    return olga.post(f"{LIST}{acme.tenant_id}/change/", form(name="Acme", **fields))


def test_a_new_tenant_has_an_unmetered_account(olga: Client) -> None:
    assert olga.post(LIST + "add/", form()).status_code == 302
    assert Tenant.objects.get(name="Initech").account.balance is None


def test_a_new_tenant_starts_with_the_credits_it_is_given(olga: Client) -> None:
    olga.post(LIST + "add/", form(add_credits=500))
    assert Tenant.objects.get(name="Initech").account.balance == 500


def test_added_credits_are_in_the_balance_the_ledger_and_the_history(olga: Client, acme: Actor) -> None:
    change(olga, acme, add_credits=30)
    change(olga, acme, add_credits=12)
    assert Account.objects.get(tenant=acme.tenant).balance == 42
    ledger = CreditEntry.objects.for_tenant(acme.tenant_id).order_by("id")
    assert list(ledger.values_list("reason", "amount", "balance_after")) == [("grant", 30, 30), ("grant", 12, 42)]
    assert LogEntry.objects.filter(object_id=str(acme.tenant_id), change_message="Added 12 credits.").count() == 1


def test_the_form_has_every_field_of_the_policy(olga: Client) -> None:
    fields = olga.get(LIST + "add/").context["adminform"].form.fields
    besides = {"add_credits", "new_model_api_key", "forget_model_api_key"}
    assert set(fields) == {field.name for field in Tenant._meta.fields if field.editable} | besides


def test_saving_a_tenant_without_credits_adds_none(olga: Client, acme: Actor) -> None:
    assert change(olga, acme, rest_per_minute=7).status_code == 302
    acme.tenant.refresh_from_db()
    assert acme.tenant.rest_per_minute == 7
    assert not CreditEntry.objects.for_tenant(acme.tenant_id).exists()


@pytest.mark.parametrize("amount", ["0", "-5", "many", str(10**30)])
def test_credits_that_are_no_amount_are_refused(olga: Client, acme: Actor, amount: str) -> None:
    assert change(olga, acme, add_credits=amount).status_code == 200
    assert Account.objects.get(tenant=acme.tenant).balance is None


def test_a_model_nobody_answers_for_is_refused(olga: Client, acme: Actor) -> None:
    response = change(olga, acme, model="llama")
    assert "model" in response.context["adminform"].form.errors
    acme.tenant.refresh_from_db()
    assert acme.tenant.model == ""


def test_a_model_that_answers_is_saved(olga: Client, acme: Actor) -> None:
    change(olga, acme, model="builtin")
    acme.tenant.refresh_from_db()
    assert acme.tenant.model == "builtin"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://169.254.169.254/v1", "is not on the public internet"),
        ("http://models.example.com/v1", "must begin with https://"),
        ("https://models.example.com/v1?x=1", "must end with its path"),
    ],
)
def test_an_address_that_this_server_may_not_ask_for_a_tenant_is_refused(
    olga: Client, acme: Actor, address: str, why: str
) -> None:
    response = change(olga, acme, model="openai:x", model_base_url=address)
    [error] = response.context["adminform"].form.errors["model_base_url"]
    assert address in error
    assert why in error


def test_an_address_needs_a_model_that_is_asked_there(olga: Client, acme: Actor) -> None:
    response = change(olga, acme, model_base_url="https://models.example.com/v1")
    assert "Name the model" in str(response.context["adminform"].form.errors["model"])
    change(olga, acme, model="anthropic:x", model_base_url="https://models.example.com/v1")
    acme.tenant.refresh_from_db()
    assert (acme.tenant.model, acme.tenant.model_base_url) == ("anthropic:x", "https://models.example.com/v1")


def test_a_key_that_can_be_none_is_refused_and_not_shown(olga: Client, acme: Actor) -> None:
    response = change(olga, acme, new_model_api_key="sk canary")
    assert "without spaces" in str(response.context["adminform"].form.errors["new_model_api_key"])
    assert "canary" not in response.content.decode()


def test_origins_are_a_list_one_a_line(olga: Client, acme: Actor) -> None:
    change(olga, acme, allowed_origins="https://a.example\r\nhttp://b.example:8080\r\n")
    acme.tenant.refresh_from_db()
    assert acme.tenant.allowed_origins == ["https://a.example", "http://b.example:8080"]
    page = olga.get(f"{LIST}{acme.tenant_id}/change/").content.decode()
    assert "https://a.example\nhttp://b.example:8080</textarea>" in page


def test_the_key_of_a_model_is_kept_until_another_is_given_and_never_shown(olga: Client, acme: Actor) -> None:
    change(olga, acme, new_model_api_key="sk-first")
    page = change(olga, acme).content + olga.get(f"{LIST}{acme.tenant_id}/change/").content
    acme.tenant.refresh_from_db()
    assert acme.tenant.model_api_key == "sk-first"
    assert b"sk-first" not in page
    change(olga, acme, forget_model_api_key="on")
    acme.tenant.refresh_from_db()
    assert acme.tenant.model_api_key == ""


def test_the_key_of_a_model_is_encrypted_at_rest(olga: Client, acme: Actor) -> None:
    change(olga, acme, new_model_api_key="sk-first")
    with connection.cursor() as cursor:
        cursor.execute("SELECT model_api_key FROM tenants_tenant WHERE name = 'Acme'")
        [(stored,)] = cursor.fetchall()
    assert stored
    assert "sk-first" not in stored


def test_synonyms_are_groups_of_words_one_a_line(olga: Client, acme: Actor) -> None:
    change(olga, acme, synonyms="sofa, couch,settee\r\n\r\nbin, trash can\r\n")
    acme.tenant.refresh_from_db()
    assert acme.tenant.synonyms == [["sofa", "couch", "settee"], ["bin", "trash can"]]
    assert "stands alone" in change(olga, acme, synonyms="sofa").content.decode()


@pytest.mark.parametrize(
    "origin", ["shop.example", "https://a.example/", "https://a.example/x", "ftp://a.example", "*"]
)
def test_what_is_no_origin_is_refused(olga: Client, acme: Actor, origin: str) -> None:
    assert "is not an origin" in change(olga, acme, allowed_origins=origin).content.decode()


def test_who_may_only_look_sees_a_tenant_and_changes_nothing(acme: Actor) -> None:
    viewer = client_of(staff("vic", "view_tenant"))
    page = viewer.get(f"{LIST}{acme.tenant_id}/change/").content.decode()
    assert "unmetered" in page
    assert 'type="number"' not in page
    assert change(viewer, acme, add_credits=5).status_code == 403
    assert Account.objects.get(tenant=acme.tenant).balance is None


def test_a_tenant_cannot_be_deleted(olga: Client, acme: Actor) -> None:
    assert olga.post(f"{LIST}{acme.tenant_id}/delete/", {"post": "yes"}).status_code == 403
    assert Tenant.objects.filter(id=acme.tenant_id).exists()


@pytest.mark.parametrize("search", ["acm", "the id"])
def test_a_tenant_is_found_by_a_part_of_its_name_or_its_id(
    olga: Client, acme: Actor, globex: Actor, search: str
) -> None:
    page = olga.get(LIST, {"q": str(acme.tenant_id) if search == "the id" else search}).content.decode()
    assert "Acme" in page
    assert "Globex" not in page


def test_the_ledger_cannot_be_written(olga: Client, acme: Actor) -> None:
    change(olga, acme, add_credits=5)
    entry = CreditEntry.objects.for_tenant(acme.tenant_id).get()
    for path in ("add/", f"{entry.id}/change/", f"{entry.id}/delete/"):
        assert olga.post(f"/admin/tenants/creditentry/{path}", {"amount": 99, "post": "yes"}).status_code == 403
    entry.refresh_from_db()
    assert entry.amount == 5


def test_a_user_is_found_by_the_whole_user_id(olga: Client, new_chat: NewChat) -> None:
    new_chat(user_id="alice smith")
    new_chat(user_id="alice smithson")
    page = olga.get("/admin/tenants/enduser/", {"q": "alice smith"}).content.decode()
    assert ">alice smith<" in page
    assert "alice smithson" not in page


def test_a_user_cannot_be_changed(olga: Client, new_chat: NewChat) -> None:
    user = new_chat(user_id="alice").user
    for path in ("add/", f"{user.id}/change/", f"{user.id}/delete/"):
        response = olga.post(f"/admin/tenants/enduser/{path}", {"external_id": "bob", "post": "yes"})
        assert response.status_code == 403
    assert EndUser.objects.all_tenants().get(id=user.id).external_id == "alice"


def test_a_user_leads_to_their_chats_and_to_nobody_elses(olga: Client, new_chat: NewChat, globex: Actor) -> None:
    mine = new_chat("My own question", user_id="alice")
    new_chat("Of another tenant's alice", user_id="alice", actor=globex)
    page = olga.get(f"/admin/tenants/enduser/{mine.user_id}/change/").content.decode()
    link = f"/admin/chats/chat/?tenant__id__exact={mine.tenant_id}&amp;user__id__exact={mine.user_id}"
    assert link in page
    chats = olga.get(link.replace("&amp;", "&")).content.decode()
    assert "My own question" in chats
    assert "another tenant" not in chats
