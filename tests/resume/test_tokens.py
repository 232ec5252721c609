"""A chat token opens one chat for one user, and dies with its key."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.core import signing

from chats.tokens import make_token
from core.db.executor import in_thread
from tenants.models import ApiKey, Tenant
from tenants.provisioning import do_revoke_key
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model, NewTenant


def make(actor: Actor, chat_id: str, **body: Any) -> Any:
    return actor.rest("POST", f"/{chat_id}/tokens", json=body)


def token_of(actor: Actor, chat_id: str, **body: Any) -> str:
    answer = make(actor, chat_id, **body)
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


def tenant_key(actor: Actor) -> ApiKey:
    return ApiKey.objects.for_tenant(actor.tenant_id).get(kind=ApiKey.Kind.TENANT)


async def refused(actor: Actor, **query: Any) -> dict[str, Any]:
    """The one error of a connection that is closed with 4401."""
    headers = query.pop("headers", None)
    socket = await Socket.open(actor.ws, headers=headers, **query)
    assert await socket.closed() == (4401, "AUTH_ERROR")
    [error] = socket.events
    return error


async def test_a_token_opens_its_chat_for_its_user(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat("bob")
    socket = await Socket.open(acme.ws, token=token_of(acme, chat_id))
    greeting = await socket.until("connection_established")
    assert (greeting["chat_id"], greeting["user_id"]) == (chat_id, "bob")
    await socket.say(model.script(say="hello"))


async def test_a_token_may_be_for_another_user_who_is_made_when_unknown(acme: Actor) -> None:
    socket = await Socket.open(acme.ws, token=token_of(acme, acme.new_chat("bob"), user_id="carol"))
    assert (await socket.until("user_created"))["user_id"] == "carol"


async def test_a_token_may_be_used_again(acme: Actor) -> None:
    token = token_of(acme, acme.new_chat())
    for _ in range(2):
        socket = await Socket.open(acme.ws, token=token)
        await socket.until("connection_established")


@pytest.mark.parametrize(("ttl", "seconds"), [(None, 3600), (60, 60), (86_400, 86_400)])
def test_a_token_lives_as_long_as_was_said(acme: Actor, ttl: int | None, seconds: int) -> None:
    before = time.time()
    answer = make(acme, acme.new_chat(), **({} if ttl is None else {"ttl_seconds": ttl}))
    assert answer.headers["Cache-Control"] == "no-store"
    lives = datetime.fromisoformat(answer.json()["expires_at"]).timestamp() - before
    assert seconds - 2 < lives < seconds + 30


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ttl_seconds": 59}, "ttl_seconds"),
        ({"ttl_seconds": 86_401}, "ttl_seconds"),
        ({"ttl_seconds": "60"}, "ttl_seconds"),
        ({"ttl_seconds": True}, "ttl_seconds"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": 7}, "user_id"),
    ],
)
def test_a_token_that_can_not_be_is_refused(acme: Actor, body: dict[str, Any], field: str) -> None:
    answer = make(acme, acme.new_chat(), **body)
    assert (answer.status_code, list(answer.json()["details"]["fields"])) == (400, [field])


@pytest.mark.parametrize(
    "spoil", [lambda token: token[:-1], lambda token: "x" + token, lambda token: "", lambda _: "x"]
)
async def test_what_is_no_token_is_refused(acme: Actor, spoil: Any) -> None:
    token = spoil(token_of(acme, acme.new_chat()))
    assert (await refused(acme, token=token))["error_code"] == "AUTH_ERROR"


async def test_a_token_is_refused_once_it_has_expired(acme: Actor) -> None:
    chat_id = acme.new_chat()
    key = await in_thread(tenant_key, acme)
    token, _ = make_token(key=key, chat_id=UUID(chat_id), user_id="bob", ttl_seconds=0)
    assert (await refused(acme, token=token))["error_message"] == "The chat token has expired"


async def test_what_another_secret_signed_is_refused(acme: Actor) -> None:
    named = [str((await in_thread(tenant_key, acme)).id), acme.new_chat(), "bob", int(time.time()) + 60]
    token = signing.dumps(named, key="another secret", salt="lexicon.chat-token")
    assert (await refused(acme, token=token))["error_message"] == "Invalid chat token"


async def test_what_was_signed_for_something_else_is_refused(acme: Actor) -> None:
    named = [str((await in_thread(tenant_key, acme)).id), acme.new_chat(), "bob", int(time.time()) + 60]
    assert (await refused(acme, token=signing.dumps(named, salt="elsewhere")))["error_message"] == "Invalid chat token"


@pytest.mark.parametrize("name", ["user_id", "chat_id"])
async def test_a_token_opens_nothing_else(acme: Actor, name: str) -> None:
    other = acme.new_chat()
    error = await refused(acme, token=token_of(acme, acme.new_chat()), **{name: other})
    assert error["error_message"] == "The chat token is for another user or chat"


async def test_a_token_dies_with_the_key_that_made_it(acme: Actor) -> None:
    token = token_of(acme, acme.new_chat())
    socket = await Socket.open(acme.ws, token=token)
    await socket.until("connection_established")
    await in_thread(lambda: do_revoke_key(tenant_key(acme)))
    await refused(acme, token=token)
    assert await socket.closed() == (4401, "AUTH_ERROR")


async def test_a_token_of_a_deleted_chat_finds_none(acme: Actor) -> None:
    chat_id = acme.new_chat()
    token = token_of(acme, chat_id)
    acme.rest("DELETE", f"/{chat_id}")
    assert await (await Socket.open(acme.ws, token=token)).closed() == (4404, "CHAT_NOT_FOUND")


# --- Pages ---


async def test_a_page_of_this_server_may_use_a_token(acme: Actor) -> None:
    socket = await Socket.open(acme.ws, headers={"Origin": acme.base}, token=token_of(acme, acme.new_chat()))
    await socket.until("connection_established")


async def test_a_page_on_the_tenants_list_may_use_a_token(new_tenant: NewTenant) -> None:
    acme = await new_tenant(allowed_origins=["https://shop.example.com"])
    token = token_of(acme, acme.new_chat())
    socket = await Socket.open(acme.ws, headers={"Origin": "https://shop.example.com"}, token=token)
    await socket.until("connection_established")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "null",
        "http://shop.example.com",
        "https://shop.example.com:444",
        "https://shop.example.com.evil.com",
    ],
)
async def test_another_page_may_not(new_tenant: NewTenant, origin: str) -> None:
    acme = await new_tenant(allowed_origins=["https://shop.example.com"])
    error = await refused(acme, headers={"Origin": origin}, token=token_of(acme, acme.new_chat()))
    assert error["error_message"] == "This page may not use chat tokens of this tenant"


async def test_with_a_key_the_page_is_not_looked_at(acme: Actor) -> None:
    address = {"api_key": acme.tenant_key, "user_id": "alice", "chat_id": acme.new_chat()}
    socket = await Socket.open(acme.ws, headers={"Origin": "https://evil.example.com"}, **address)
    await socket.until("connection_established")


# --- How much an end user may say ---


async def test_a_user_with_a_token_may_say_so_much_in_a_minute(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(user_messages_per_minute=2)
    chat_id = acme.new_chat()
    socket = await Socket.open(acme.ws, token=token_of(acme, chat_id))
    for number in range(2):
        await socket.say(model.script(say=f"reply {number}"))
    await socket.send({"content": model.script(say="too much"), "client_message_id": "c3"})
    error = await socket.until("error")
    assert error["error_code"] == "RATE_LIMIT_EXCEEDED"
    assert 0 < error["details"]["retry_after"] <= 60
    assert error["details"]["client_message_id"] == "c3"
    assert acme.rest("GET", f"/{chat_id}").json()["message_count"] == 4


async def test_the_users_limit_is_one_for_all_their_sockets_and_chats(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(user_messages_per_minute=1)
    first, second = [await Socket.open(acme.ws, token=token_of(acme, acme.new_chat("bob"))) for _ in range(2)]
    await first.say(model.script(say="reply"))
    await second.send({"content": "too much"})
    assert (await second.until("error"))["error_code"] == "RATE_LIMIT_EXCEEDED"


async def test_a_key_speaks_for_its_users_without_that_limit(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(user_messages_per_minute=1)
    async with await acme.join(acme.new_chat()) as socket:
        for number in range(3):
            await socket.say(model.script(say=f"reply {number}"))


def test_the_limit_is_twenty_unless_the_tenant_says_otherwise() -> None:
    assert Tenant().user_messages_per_minute == 20
