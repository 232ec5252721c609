"""What opens and what does not: every row of the contract's section on keys, over HTTP."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from core.db.executor import in_thread
from core.errors import ApiError
from tenants import keys
from tenants.authentication import open_key
from tenants.models import ApiKey
from tenants.provisioning import do_create_key, do_revoke_key
from tests.rest.wire import assert_refused, rows_holding
from tests.support.actors import Actor
from tests.support.servers import Server

KINDS = ["tenant", "customer"]
FACES = {"tenant": "lexicon", "customer": "customer"}


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: what a key opens is decided behind it."""
    return live_server_uvicorn


def knock(actor: Actor, kind: str, key: str | None, **headers: str) -> httpx.Response:
    """A request of the face that keys of this kind open, with the key where that face looks for it."""
    if key is not None:
        headers |= {"X-API-Key": key} if kind == "tenant" else {"Authorization": f"Bearer {key}".strip()}
    path = "/api/v1/chats/" if kind == "tenant" else "/api/v1/customer/conversations"
    return httpx.post(actor.base + path, json={"user_id": "alice"}, headers=headers, verify=False)


def new_key(actor: Actor, kind: str, **fields: Any) -> tuple[ApiKey, str]:
    return do_create_key(tenant=actor.tenant, kind=kind, **fields)


def assert_unknown(answer: httpx.Response, kind: str) -> None:
    refusal = assert_refused(answer, 401, "AUTH_ERROR", face=FACES[kind])
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    if kind == "tenant":
        assert refusal["error_message"] == "Invalid API key"
        assert refusal["details"] == {
            "fix": "Check your tenant API key value. Each tenant has a unique API key in the tenants table."
        }


# --- The form of a key ---


@pytest.mark.parametrize(("kind", "prefix"), [("tenant", "lxt_"), ("customer", "lxc_")])
def test_a_key_is_prefix_thirty_random_characters_and_a_checksum(kind: str, prefix: str) -> None:
    key = keys.new_key(kind)
    assert re.fullmatch(prefix + "[0-9A-Za-z]{36}", key)
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    value = 0
    for character in key[-6:]:
        value = value * 62 + alphabet.index(character)
    assert value == zlib.crc32(key[:-6].encode())


def test_a_small_checksum_is_padded_with_zeros() -> None:
    body = next(body for n in range(10**6) if zlib.crc32((body := f"lxt_{n:030}").encode()) < 62**4)
    assert keys.checksum(body).startswith("00")
    assert keys.is_well_formed(body + keys.checksum(body))


def test_no_two_keys_are_the_same() -> None:
    assert len({keys.new_key("tenant") for _ in range(1000)}) == 1000


# --- What opens ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_live_key_opens_its_face(acme: Actor, kind: str) -> None:
    _, key = new_key(acme, kind)
    assert knock(acme, kind, key).status_code == 201


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_has_not_expired_opens(acme: Actor, kind: str) -> None:
    _, key = new_key(acme, kind, expires_at=timezone.now() + timedelta(hours=1))
    assert knock(acme, kind, key).status_code == 201


@pytest.mark.parametrize("kind", KINDS)
def test_several_keys_of_a_kind_open_and_die_each_for_itself(acme: Actor, kind: str) -> None:
    rows = [new_key(acme, kind) for _ in range(3)]
    assert [knock(acme, kind, key).status_code for _, key in rows] == [201, 201, 201]
    do_revoke_key(rows[1][0])
    assert [knock(acme, kind, key).status_code for _, key in rows] == [201, 401, 201]


def test_the_scheme_is_read_in_any_case(acme: Actor) -> None:
    address = acme.base + "/api/v1/customer/conversations"
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {acme.customer_key}"}
        assert httpx.post(address, headers=headers, verify=False).status_code == 201


# --- What does not ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [None, ""], ids=repr)
def test_a_missing_or_empty_key_is_refused(acme: Actor, kind: str, key: str | None) -> None:
    assert_refused(knock(acme, kind, key), 401, "AUTH_ERROR", face=FACES[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: "garbage",
        lambda key: key[:4],
        lambda key: key[:-1],
        lambda key: key + "0",
        lambda key: key + " " + key,
        lambda key: key[4:],
        lambda key: "lxx_" + key[4:],
        lambda key: key.upper(),
        lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"),
        lambda key: key[:4] + ("0" if key[4] != "0" else "1") + key[5:],
        lambda key: key[:10] + "-" + key[11:],
        lambda key: key[:10] + "ü" + key[11:],
        lambda key: key * 150,
    ],
)
def test_a_malformed_or_mistyped_key_is_refused(acme: Actor, kind: str, spoil: Callable[[str], str]) -> None:
    key = acme.tenant_key if kind == "tenant" else acme.customer_key
    name = "X-API-Key" if kind == "tenant" else "Authorization"
    path = "/api/v1/chats/" if kind == "tenant" else "/api/v1/customer/conversations"
    value = ("" if kind == "tenant" else "Bearer ") + spoil(key)
    answer = httpx.post(acme.base + path, headers=[(name.encode(), value.encode())], json={}, verify=False)
    assert_unknown(answer, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_with_a_wrong_checksum_costs_no_query(
    db: None, kind: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key = keys.new_key(kind)
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    with django_assert_num_queries(0), pytest.raises(ApiError, match="Invalid API key"):
        open_key(wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_a_well_formed_key_that_nobody_made_is_refused(acme: Actor, kind: str) -> None:
    assert_unknown(knock(acme, kind, keys.new_key(kind)), kind)


def spoil_revoked(actor: Actor, row: ApiKey) -> None:
    do_revoke_key(row)


def spoil_expired(actor: Actor, row: ApiKey) -> None:
    ApiKey.objects.for_tenant(actor.tenant_id).filter(id=row.id).update(expires_at=timezone.now())


def spoil_tenant(actor: Actor, row: ApiKey) -> None:
    actor.tenant.is_active = False
    actor.tenant.save()


DEATHS = [spoil_revoked, spoil_expired, spoil_tenant]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kill", DEATHS)
def test_a_dead_key_is_refused_at_once(acme: Actor, kind: str, kill: Callable[[Actor, ApiKey], None]) -> None:
    row, key = new_key(acme, kind)
    assert knock(acme, kind, key).status_code == 201
    kill(acme, row)
    assert_unknown(knock(acme, kind, key), kind)


# --- The wrong kind ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_live_key_of_the_other_kind_is_of_the_wrong_kind(acme: Actor, kind: str) -> None:
    other = acme.customer_key if kind == "tenant" else acme.tenant_key
    assert_refused(knock(acme, kind, other), 403, "WRONG_KEY_TYPE", face=FACES[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kill", DEATHS)
def test_a_dead_key_of_the_other_kind_is_unknown(acme: Actor, kind: str, kill: Callable[[Actor, ApiKey], None]) -> None:
    row, key = new_key(acme, "customer" if kind == "tenant" else "tenant")
    kill(acme, row)
    assert_unknown(knock(acme, kind, key), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mistyped_key_of_the_other_kind_is_unknown(acme: Actor, kind: str) -> None:
    other = keys.new_key("customer" if kind == "tenant" else "tenant")
    assert_unknown(knock(acme, kind, other[:-1] + ("0" if other[-1] != "0" else "1")), kind)


# --- The wrong place ---


def test_a_tenant_key_is_looked_for_in_its_own_header_only(acme: Actor) -> None:
    key = acme.tenant_key
    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": key}, {"X-Api-Token": key}):
        assert_refused(knock(acme, "tenant", None, **headers), 401, "AUTH_ERROR")


def test_a_tenant_key_in_the_query_opens_no_rest(acme: Actor) -> None:
    address = f"{acme.base}/api/v1/chats/?api_key={acme.tenant_key}"
    assert_refused(httpx.post(address, json={"user_id": "alice"}, verify=False), 401, "AUTH_ERROR")


def test_a_customer_key_is_looked_for_as_bearer_only(acme: Actor) -> None:
    key = acme.customer_key
    for headers in (
        {"X-API-Key": key},
        {"Authorization": key},
        {"Authorization": f"Basic {key}"},
        {"Authorization": f"Token {key}"},
        {"Authorization": f"Bearer{key}"},
    ):
        assert_refused(knock(acme, "customer", None, **headers), 401, "AUTH_ERROR", face="customer")


@pytest.mark.parametrize("kind", KINDS)
def test_each_face_looks_at_its_own_header_where_both_are_given(acme: Actor, kind: str) -> None:
    both = {"X-API-Key": acme.tenant_key, "Authorization": f"Bearer {acme.customer_key}"}
    assert knock(acme, kind, None, **both).status_code == 201


def test_without_a_key_nothing_is_told_of_what_is_there(acme: Actor) -> None:
    chat_id = acme.new_chat()
    answers = [
        httpx.get(f"{acme.base}/api/v1/chats/{path}", headers={"X-Request-ID": "same"}, verify=False)
        for path in (chat_id, "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "malformed", "user/alice", "user/nobody")
    ]
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1


# --- What is kept ---


def test_of_a_key_its_digest_prefix_and_last_four_are_kept(acme: Actor) -> None:
    row, key = new_key(acme, "tenant")
    assert (row.prefix, row.last_four) == (key[:4], key[-4:])
    assert len(row.digest) == 64
    assert str(row) == f"lxt_…{key[-4:]}"


async def test_no_table_holds_a_key_that_was_used_everywhere(acme: Actor) -> None:
    chat_id = acme.new_chat()
    conversation_id = acme.new_conversation()
    async with await acme.join(chat_id) as socket:
        await socket.quiet()
    await asyncio.to_thread(acme.customer, "GET", f"/{conversation_id}/messages")
    assert "tenants_apikey" in await in_thread(rows_holding, str(acme.tenant_id))
    for key in (acme.tenant_key, acme.customer_key):
        assert await in_thread(rows_holding, key[4:20]) == []
