"""A reply that one process writes is heard from every other one, from its first character and live."""

from __future__ import annotations

import asyncio
import uuid

import httpx
import redis

from core.db.executor import in_thread
from tenants.models import ApiKey
from tenants.provisioning import do_revoke_key
from tests.cluster.conftest import OwnRedis
from tests.support.actors import Actor
from tests.support.client import SOON, Socket, read_sse, script
from tests.support.servers import Server

Pair = tuple[Server, Server]
TEXT = " ".join(f"word{number}" for number in range(60))


async def opened(server: Server, actor: Actor, chat: str, **query: str) -> Socket:
    socket = await Socket.open(server.ws, api_key=actor.tenant_key, user_id="alice", chat_id=chat, **query)
    await socket.until("connection_established")
    return socket


async def release(model_server: str, name: str) -> None:
    async with httpx.AsyncClient() as client:
        await client.post(f"{model_server.removesuffix('/v1')}/release/{name}")


async def until_said(socket: Socket, text: str) -> None:
    """Read on until all of this was said."""
    async with asyncio.timeout(SOON):
        while not socket.folded().startswith(text):
            await socket.next()


async def test_a_socket_elsewhere_hears_a_reply_while_it_is_written(pair: Pair, acme: Actor, model_server: str) -> None:
    first, second = pair
    chat, name = await in_thread(acme.new_chat), uuid.uuid4().hex
    here, there = await opened(first, acme, chat), await opened(second, acme, chat)
    await here.send({"content": script(say=TEXT, hold=name)})
    # The model holds on after its first word: only what is live can bring it.
    await until_said(there, "word0")
    await release(model_server, name)
    for socket in (here, there):
        ended = await socket.until("message_stream_ended")
        assert ended["content"] == socket.folded() == TEXT


async def test_a_socket_opened_elsewhere_in_the_middle_hears_it_from_the_beginning(
    pair: Pair, acme: Actor, model_server: str
) -> None:
    first, second = pair
    chat, name = await in_thread(acme.new_chat), uuid.uuid4().hex
    here = await opened(first, acme, chat)
    await here.send({"content": script(say=TEXT, hold=name)})
    await until_said(here, "word0")
    there = await opened(second, acme, chat)
    assert (await there.until("message_stream_started"))["resumed"] is True
    await until_said(there, "word0")
    await release(model_server, name)
    assert (await there.until("message_stream_ended"))["content"] == there.folded() == TEXT


async def test_sse_elsewhere_tells_the_same_events(pair: Pair, acme: Actor, model_server: str) -> None:
    """An event's id is the number of its piece, wherever it is read."""
    first, second = pair
    conversation, name = await in_thread(acme.new_conversation), uuid.uuid4().hex
    path, headers = (
        f"/api/v1/customer/conversations/{conversation}",
        {"Authorization": f"Bearer {acme.customer_key}"},
    )
    async with httpx.AsyncClient(headers=headers, timeout=SOON, verify=False) as client:
        message = {"message": script(say=TEXT, hold=name, every_ms=5)}
        async with client.stream("POST", f"{first.http}{path}/messages", json=message) as posted:
            stream_id = posted.headers["X-Stream-Id"]
            chunks = posted.aiter_bytes()
            body = await anext(chunks)
            async with client.stream("GET", f"{second.http}{path}/stream", params={"stream": stream_id}) as resumed:
                assert resumed.status_code == 200
                others = resumed.aiter_bytes()
                other = await anext(others)
                await release(model_server, name)
                body += b"".join([chunk async for chunk in chunks])
                other += b"".join([chunk async for chunk in others])
    assert read_sse(body) == read_sse(other)
    assert "".join(data["text"] for _, data in read_sse(body)[:-1]) == TEXT


async def test_a_stop_elsewhere_ends_the_reply(pair: Pair, acme: Actor) -> None:
    first, second = pair
    chat = await in_thread(acme.new_chat)
    here, there = await opened(first, acme, chat), await opened(second, acme, chat)
    await here.send({"content": script(say=TEXT, hold=uuid.uuid4().hex)})
    await until_said(there, "word0")
    await there.send({"action": "stop"})
    for socket in (here, there):
        ended = await socket.until("message_stream_ended")
        assert ended["stopped"] is True
        assert ended["content"] == socket.folded()


async def test_a_delete_elsewhere_closes_the_sockets(pair: Pair, acme: Actor) -> None:
    first, second = pair
    chat = await in_thread(acme.new_chat)
    here = await opened(first, acme, chat)
    acme.base = second.http
    assert (await in_thread(acme.rest, "DELETE", f"/{chat}")).status_code == 409
    assert (await in_thread(acme.rest, "DELETE", f"/{chat}?force=true")).status_code == 200
    assert await here.closed() == (4410, "CHAT_DELETED")


async def test_a_change_of_status_elsewhere_is_heard(pair: Pair, acme: Actor) -> None:
    first, second = pair
    chat = await in_thread(acme.new_chat)
    here = await opened(first, acme, chat)
    acme.base = second.http
    await in_thread(acme.rest, "PATCH", f"/{chat}", json={"status": "closed"})
    assert (await here.until("chat_status_changed"))["status"] == "closed"


async def test_a_revoked_key_closes_sockets_on_every_process(pair: Pair, acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    sockets = [await opened(server, acme, chat) for server in pair]

    def revoke() -> None:
        do_revoke_key(ApiKey.objects.for_tenant(acme.tenant_id).get(kind=ApiKey.Kind.TENANT))

    await in_thread(revoke)
    assert [await socket.closed() for socket in sockets] == [(4401, "AUTH_ERROR")] * 2


async def test_messages_through_two_processes_have_one_order(pair: Pair, acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    sockets = [await opened(server, acme, chat) for server in pair for _ in range(4)]
    for number, socket in enumerate(sockets):
        await socket.send({"content": script(say=f"answer {number}")})
    for socket in sockets:
        for _ in sockets:
            await socket.until("message_stream_ended")
    orders = [[event["sequence"] for event in socket.events if "sequence" in event] for socket in sockets]
    assert orders == [list(range(1, 17))] * 8


async def test_with_redis_no_key_is_kept_for_ever(pair: Pair, acme: Actor, own_redis: OwnRedis) -> None:
    chat = await in_thread(acme.new_chat)
    socket = await opened(pair[0], acme, chat)
    await socket.say(script(say=TEXT))
    with redis.Redis.from_url(own_redis.url) as client:
        keys = list(client.scan_iter("*"))
        assert keys
        assert all(client.pttl(key) > 0 for key in keys)
