"""Guarantee 7: so many frames a second on one connection, so many connections of one tenant, so many messages."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from core.db.executor import in_thread
from tenants.models import Tenant
from tests.support.actors import Actor
from tests.support.client import Socket, eventually
from tests.websocket.conftest import Model, NewTenant, history


def test_the_limits_by_default() -> None:
    tenant = Tenant()
    assert (tenant.ws_messages_per_second, tenant.ws_connections, tenant.queue_depth) == (10, 50, 10)
    assert (tenant.message_max_characters, tenant.reply_max_characters) == (32_000, 100_000)
    assert tenant.message_limit is None


# --- Frames ---


async def burst(actor: Actor, chat_id: str, frames: list[Any], answers: int) -> tuple[Socket, list[dict[str, Any]]]:
    """A socket that sent all frames within one second, and the so many answers it got."""
    async with asyncio.timeout(60):
        while True:
            socket = await actor.join(chat_id)
            begun = time.monotonic()
            for frame in frames:
                await socket.send(frame)
            answered = [await socket.next() for _ in range(answers)]
            if time.monotonic() - begun < 1.0:
                return socket, answered
            await socket.close()  # The machine was too busy: they were not all in one second.


@pytest.mark.parametrize(
    ("frame", "answer"), [({"type": "ping"}, ("pong", None)), ("{", ("error", "INVALID_REQUEST"))], ids=["ping", "bad"]
)
async def test_the_eleventh_frame_of_a_second_is_refused(
    new_tenant: NewTenant, frame: Any, answer: tuple[str, str | None]
) -> None:
    acme = await new_tenant(ws_messages_per_second=10)
    socket, events = await burst(acme, acme.new_chat(), [frame] * 11, 11)
    async with socket:
        answers = [(event["event_type"], event.get("error_code")) for event in events]
    assert answers == [answer] * 10 + [("error", "RATE_LIMIT_EXCEEDED")]


async def test_the_ten_messages_before_a_refused_one_are_kept(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(ws_messages_per_second=10, queue_depth=100)
    # Nothing is said, so that there is one answer to each frame.
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as other:
        await other.send({"content": model.script(say="one two", hold=True, hold_after=0)})
        await other.until("message_stream_started")
    frames = [{"content": f"{number}", "client_message_id": f"m{number}"} for number in range(11)]
    # Whoever joins is told of the reply that is under way.
    socket, _ = await burst(acme, chat_id, frames, 12)
    async with socket:
        [error] = socket.of_type("error")
        assert error["error_code"] == "RATE_LIMIT_EXCEEDED"
        assert error["details"]["client_message_id"] == "m10"
        assert error["details"]["retry_after"] == 1
        kept = [event["client_message_id"] for event in socket.of_type("message_received")]
        assert kept == [f"m{number}" for number in range(10)]
        model.release()
        await socket.until("message_stream_ended", content="You said: 9")
    assert "10" not in [row["content"] for row in history(acme, chat_id)]


async def test_a_socket_that_was_refused_a_frame_goes_on(new_tenant: NewTenant) -> None:
    acme = await new_tenant(ws_messages_per_second=1)
    socket, [first, second] = await burst(acme, acme.new_chat(), [{"type": "ping"}] * 2, 2)
    assert (first["event_type"], second["event_type"]) == ("pong", "error")

    async def answered() -> bool:
        await socket.send({"type": "ping"})
        return (await socket.next())["event_type"] == "pong"

    async with socket:
        await eventually(answered)


async def test_each_connection_has_frames_of_its_own(new_tenant: NewTenant) -> None:
    acme = await new_tenant(ws_messages_per_second=1)
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as one, await acme.join(chat_id) as other:
        for socket in (one, other):
            await socket.send({"type": "ping"})
            assert (await socket.next())["event_type"] == "pong"


async def test_the_refusal_of_a_frame_that_is_not_read_names_no_client_message_id(new_tenant: NewTenant) -> None:
    acme = await new_tenant(ws_messages_per_second=0)
    async with await acme.join(acme.new_chat()) as socket:
        for frame in ("{", b"binary", {"content": "Hello"}):
            await socket.send(frame)
            error = await socket.next()
            assert error["error_code"] == "RATE_LIMIT_EXCEEDED"
            assert "client_message_id" not in error["details"]


# --- Connections ---


async def test_of_sixty_sockets_at_once_fifty_are_let_in(new_tenant: NewTenant) -> None:
    acme = await new_tenant(ws_connections=50)
    chats = [acme.new_chat(), acme.new_conversation()]

    async def knock(number: int) -> Socket:
        address = {"api_key": acme.tenant_key, "user_id": "alice", "chat_id": chats[number % 2]}
        socket = await Socket.open(acme.ws, **address)
        await socket.next()
        return socket

    sockets = await asyncio.gather(*(knock(number) for number in range(60)))
    inside = [socket for socket in sockets if socket.of_type("connection_established")]
    outside = [socket for socket in sockets if socket.of_type("error")]
    assert (len(inside), len(outside)) == (50, 10)
    for socket in outside:
        assert (await socket.closed())[0] == 4429
        assert [event["error_code"] for event in socket.events] == ["CONNECTION_LIMIT_EXCEEDED"]
    for socket in inside:
        assert await socket.quiet() == []
    await asyncio.gather(*(socket.close() for socket in inside))


@pytest.mark.parametrize("how", ["says goodbye", "is cut off"])
async def test_a_place_is_free_again_once_its_socket_leaves(new_tenant: NewTenant, how: str) -> None:
    acme = await new_tenant(ws_connections=1)
    chat_id = acme.new_chat()
    address = {"api_key": acme.tenant_key, "user_id": "alice", "chat_id": chat_id}

    async def let_in() -> Socket | None:
        socket = await Socket.open(acme.ws, **address)
        if (await socket.next())["event_type"] == "connection_established":
            return socket
        await socket.close()
        return None

    first = await acme.join(chat_id)
    assert await let_in() is None
    if how == "is cut off":
        first.connection.transport.abort()
    else:
        await first.close()
    second = await eventually(let_in)
    assert second is not None
    async with second:
        assert await let_in() is None


async def test_tenants_do_not_share_their_places(new_tenant: NewTenant) -> None:
    acme, globex = await new_tenant(ws_connections=1), await new_tenant(ws_connections=1)
    async with await acme.join(acme.new_chat()) as one, await globex.join(globex.new_chat()) as other:
        assert await one.quiet() + await other.quiet() == []


async def test_an_sse_response_is_no_connection(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(ws_connections=1)
    conversation = acme.new_conversation()
    body = {"message": model.script(say="one two", hold=True)}
    posting = asyncio.create_task(in_thread(acme.customer, "POST", f"/{conversation}/messages", json=body))

    async def asked() -> bool:
        return bool(await in_thread(model.calls))

    await eventually(asked)
    async with await acme.join(conversation) as socket:
        model.release()
        await socket.until("message_stream_ended")
    assert (await posting).status_code == 200


# --- Messages of one conversation ---


async def test_a_chat_has_no_more_messages_than_its_tenant_allows(new_tenant: NewTenant) -> None:
    acme = await new_tenant(message_limit=2)
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        for content in ("one", "two"):
            await socket.say(content)
        await socket.send({"content": "three", "client_message_id": "m3"})
        error = await socket.next()
        assert (error["error_code"], error["details"]["client_message_id"]) == ("MESSAGE_LIMIT_REACHED", "m3")
        assert await socket.quiet() == []
    assert len(history(acme, chat_id)) == 4
