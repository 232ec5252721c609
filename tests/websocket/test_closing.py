"""When the server closes a socket: its chat was deleted by force, or its key opens nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.db.executor import in_thread
from tenants.models import ApiKey, Tenant
from tenants.provisioning import do_create_key, do_revoke_key
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model, NewTenant, history

#: It holds on both servers.
pytestmark = pytest.mark.daphne

# --- Deleted ---


async def test_a_chat_deleted_by_force_closes_its_sockets(acme: Actor) -> None:
    chat_id = acme.new_chat()
    sockets = [await acme.join(chat_id) for _ in range(2)]
    assert (await in_thread(acme.rest, "DELETE", f"/{chat_id}?force=true")).status_code == 200
    for socket in sockets:
        assert (await socket.closed())[0] == 4410
        assert [event["event_type"] for event in socket.events] == ["connection_established", "error"]
        assert socket.events[-1]["error_code"] == "CHAT_DELETED"


async def test_a_chat_in_use_is_not_deleted_without_force(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        assert (await in_thread(acme.rest, "DELETE", f"/{chat_id}")).status_code == 409
        await socket.say("Still there?")


async def test_a_chat_deleted_by_force_in_the_middle_of_a_reply_says_no_more(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    socket = await acme.join(chat_id)
    await socket.send({"content": model.script(say="one two three", hold=True)})
    await socket.until("message_stream_token")
    assert (await in_thread(acme.rest, "DELETE", f"/{chat_id}?force=true")).status_code == 200
    model.release()
    assert (await socket.closed())[0] == 4410
    assert "".join(event["token"] for event in socket.of_type("message_stream_token")) == "one "
    await model.left()
    assert acme.rest("GET", f"/{chat_id}").status_code == 404


async def test_other_chats_do_not_notice(acme: Actor) -> None:
    chat_id = acme.new_chat()
    deleted = await acme.join(chat_id)
    async with await acme.join(acme.new_chat()) as other:
        await in_thread(acme.rest, "DELETE", f"/{chat_id}?force=true")
        await deleted.closed()
        assert await other.quiet() == []


# --- A key that is dead ---


def revoke(actor: Actor) -> None:
    do_revoke_key(ApiKey.objects.for_tenant(actor.tenant_id).get(kind=ApiKey.Kind.TENANT))


def expire(actor: Actor) -> None:
    keys = ApiKey.objects.for_tenant(actor.tenant_id).filter(kind=ApiKey.Kind.TENANT)
    keys.update(expires_at=timezone.now() - timedelta(seconds=1))


def switch_off(actor: Actor) -> None:
    Tenant.objects.filter(id=actor.tenant_id).update(is_active=False)


@pytest.mark.parametrize("kill", [revoke, expire, switch_off])
async def test_a_dead_key_opens_nothing_from_now_on(acme: Actor, kill: Callable[[Actor], Any]) -> None:
    chat_id = acme.new_chat()
    await in_thread(kill, acme)
    socket = await Socket.open(acme.ws, api_key=acme.tenant_key, user_id="alice", chat_id=chat_id)
    assert (await socket.closed())[0] == 4401
    assert [event["error_code"] for event in socket.events] == ["AUTH_ERROR"]


async def test_a_dead_key_closes_the_sockets_it_opened(new_tenant: NewTenant) -> None:
    async def killed(kill: Callable[[Actor], Any]) -> Socket:
        acme = await new_tenant()
        socket = await acme.join(acme.new_chat())
        await in_thread(kill, acme)
        return socket

    for socket in await asyncio.gather(*(killed(kill) for kill in (revoke, expire, switch_off))):
        # Five seconds by the contract; `closed` waits three times as long.
        assert (await socket.closed())[0] == 4401
        assert [event["event_type"] for event in socket.events] == ["connection_established", "error"]
        assert socket.events[-1]["error_code"] == "AUTH_ERROR"


async def test_a_message_sent_with_a_dead_key_is_refused_at_once(acme: Actor) -> None:
    chat_id = acme.new_chat()
    row, key = await in_thread(do_create_key, tenant=acme.tenant, kind=ApiKey.Kind.TENANT)
    socket = await acme.join(chat_id, api_key=key)
    await in_thread(do_revoke_key, row)
    await socket.send({"content": "Hello"})
    assert (await socket.closed())[0] == 4401
    assert socket.of_type("message_received") == []
    assert history(acme, chat_id) == []


async def test_a_dead_key_closes_no_socket_of_another_key_and_stops_no_reply(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    row, key = await in_thread(do_create_key, tenant=acme.tenant, kind=ApiKey.Kind.TENANT)
    socket = await acme.join(chat_id, api_key=key)
    async with await acme.join(chat_id) as listens:
        await socket.send({"content": model.script(say="one two three", hold=True)})
        await socket.until("message_stream_token")
        await in_thread(do_revoke_key, row)
        await socket.closed()
        model.release()
        ended = await listens.until("message_stream_ended")
    assert (ended["content"], "stopped" in ended) == ("one two three", False)
