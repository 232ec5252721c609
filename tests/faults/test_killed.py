"""kill -9 of a server loses nothing that was acknowledged, and every reply stands once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
import websockets
from django.db.models import F

from chats.models import Checkpoint, Connection, Message, Reply
from core.db.executor import in_thread
from tenants.credits import do_grant
from tenants.models import Account, CreditEntry
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, script
from tests.support.servers import Server

NewServer = Callable[..., Server]

#: A reply of two seconds: long enough to die in, whatever the machine.
SLOW = script(say="The quick brown fox jumps over the lazy dog. ", tokens=40, every_ms=50)


async def begin(server: Server, acme: Actor, *, message: str = SLOW) -> tuple[str, Socket]:
    """A new chat in which a reply is being said."""
    chat = await in_thread(acme.new_chat)
    socket = await Socket.open(server.ws, api_key=acme.tenant_key, user_id="alice", chat_id=chat)
    await socket.send({"content": message})
    await socket.until("message_stream_token")
    return chat, socket


async def history(acme: Actor, chat: str) -> list[dict[str, object]]:
    answer = await in_thread(acme.rest, "GET", f"/{chat}/messages")
    return answer.json()["messages"]


async def all_said(acme: Actor, chat: str, count: int) -> list[dict[str, object]]:
    """The history, once it has so many messages."""

    async def said() -> list[dict[str, object]]:
        messages = await history(acme, chat)
        return messages if len(messages) >= count else []

    return await eventually(said)


async def test_five_replies_cut_by_a_kill_are_whole_and_once_after_the_next_start(
    acme: Actor, new_server: NewServer
) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    begun = await asyncio.gather(*(begin(server, acme) for _ in range(5)))
    ids = [socket.of_type("message_stream_token")[0]["message_id"] for _, socket in begun]
    server.kill()
    await in_thread(new_server, port=str(server.port))
    told = []
    for (chat, _), reply_id in zip(begun, ids, strict=True):
        question, reply = await all_said(acme, chat, 2)
        assert (question["content"], reply["id"], reply["reply_to"]) == (SLOW, reply_id, question["id"])
        assert "failed" not in reply["metadata"]
        told.append(reply["content"])
    whole = await Socket.open(
        server.ws, api_key=acme.tenant_key, user_id="alice", chat_id=await in_thread(acme.new_chat)
    )
    assert set(told) == {(await whole.say(SLOW))["content"]}
    states = await in_thread(lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("state", "tries")))
    assert sorted(states) == [("done", 1)] + [("done", 2)] * 5


async def test_two_hundred_acknowledged_messages_survive_a_kill(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    acknowledged: list[tuple[str, str]] = []

    async def talk(user: str) -> str:
        chat = await in_thread(acme.new_chat, user)
        socket = await Socket.open(server.ws, api_key=acme.tenant_key, user_id=user, chat_id=chat)
        for number in range(20):
            await socket.send({"content": script(say=f"{user} {number}"), "client_message_id": f"{user}-{number}"})
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                event = await socket.next()
                if event["event_type"] == "message_received":
                    acknowledged.append((chat, event["message_id"]))
                    if len(acknowledged) == 200:
                        server.kill()
        return chat

    await in_thread(lambda: type(acme.tenant).objects.filter(id=acme.tenant_id).update(queue_depth=100))
    async with asyncio.timeout(60):
        await asyncio.gather(*(talk(f"user{number}") for number in range(12)))
    assert len(acknowledged) >= 200
    await in_thread(new_server, port=str(server.port))
    for chat in {chat for chat, _ in acknowledged}:
        stored = await in_thread(
            lambda chat=chat: list(
                Message.objects.for_tenant(acme.tenant_id)
                .filter(chat_id=chat)
                .order_by("sequence")
                .values_list("id", "sequence")
            )
        )
        assert [sequence for _, sequence in stored] == list(range(1, len(stored) + 1))
        assert {message for where, message in acknowledged if where == chat} <= {str(message) for message, _ in stored}


@pytest.mark.parametrize(("kills", "apart"), [(2, False), (3, True)])
async def test_a_reply_cut_twice_within_a_minute_or_three_times_ends_as_failed_and_the_chat_goes_on(
    acme: Actor, new_server: NewServer, kills: int, apart: bool
) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    held = script(say="Once upon a time", tokens=2, every_ms=10, hold="forever")
    chat, _ = await begin(server, acme, message=held)
    for tries in range(1, kills + 1):
        await said_again(acme, tries)
        if apart:
            await in_thread(_long_ago, acme)
        server.kill()
        server = await in_thread(new_server, port=str(server.port))
    _, reply = await all_said(acme, chat, 2)
    metadata = reply["metadata"]
    assert isinstance(metadata, dict)
    assert (metadata["failed"], metadata["finish_reason"]) == (True, "abandoned")
    stored = await in_thread(lambda: Reply.objects.for_tenant(acme.tenant_id).get())
    assert (stored.state, stored.tries) == (Reply.State.FAILED, kills)
    socket = await Socket.open(server.ws, api_key=acme.tenant_key, user_id="alice", chat_id=chat)
    assert "failed" not in await socket.say(script(say="Fine"))


def _long_ago(acme: Actor) -> None:
    """Whatever silenced the reply's owner before this one did so two minutes earlier."""
    replies = Reply.objects.for_tenant(acme.tenant_id)
    replies.update(silent_at=F("silent_at") - 2 * Reply.SUSPECT_WITHIN)


async def said_again(acme: Actor, tries: int) -> None:
    """Wait until the reply runs for that time, and a checkpoint knows what it said."""

    def known() -> bool:
        reply = Reply.objects.for_tenant(acme.tenant_id).get()
        return reply.tries == tries and Checkpoint.objects.filter(reply=reply, epoch=reply.epoch).exists()

    await eventually(lambda: in_thread(known))


async def test_a_repeat_after_a_kill_is_the_message_that_was_stored(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    await in_thread(do_grant, tenant_id=acme.tenant_id, amount=1000)
    chat = await in_thread(acme.new_chat)
    address = {"api_key": acme.tenant_key, "user_id": "alice", "chat_id": chat}
    socket = await Socket.open(server.ws, **address)
    frame = {"content": SLOW, "client_message_id": "c1"}
    await socket.send(frame)
    received = await socket.until("message_received")
    await socket.until("message_stream_token")
    server.kill()
    await in_thread(new_server, port=str(server.port))
    socket = await Socket.open(server.ws, **address)
    await socket.send(frame)
    again = await socket.until("message_received")
    assert again["message_id"] == received["message_id"]
    await socket.until("message_stream_ended", reply_to=received["message_id"])
    entries = await in_thread(lambda: CreditEntry.objects.for_tenant(acme.tenant_id).filter(reason="reply").count())
    account = await in_thread(lambda: Account.objects.get(tenant_id=acme.tenant_id))
    assert (entries, account.reserved) == (1, 0)
    assert len(await history(acme, chat)) == 2


async def test_the_connections_of_a_killed_process_are_free_again_after_its_lease(
    acme: Actor, new_server: NewServer
) -> None:
    await in_thread(lambda: type(acme.tenant).objects.filter(id=acme.tenant_id).update(ws_connections=2))
    server = await in_thread(new_server)
    acme.base = server.http
    chat = await in_thread(acme.new_chat)
    address = {"api_key": acme.tenant_key, "user_id": "alice", "chat_id": chat}
    for _ in range(2):
        await (await Socket.open(server.ws, **address)).until("connection_established")
    assert (await (await Socket.open(server.ws, **address)).closed())[0] == 4429
    server.kill()
    await in_thread(new_server, port=str(server.port))
    assert await in_thread(lambda: Connection.objects.for_tenant(acme.tenant_id).count()) == 2

    async def admitted() -> bool:
        async with await Socket.open(server.ws, **address) as socket:
            return (await socket.next())["event_type"] == "connection_established"

    await eventually(admitted)
