"""SIGTERM: replies may end, and sockets see it; the rest is handed over with no try spent."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from chats.models import Message, Process, Reply
from core.db.executor import in_thread
from tests.faults.test_killed import SLOW, all_said, begin
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, read_sse, script
from tests.support.servers import Server

NewServer = Callable[..., Server]


async def open_silent(server: Server, acme: Actor) -> Socket:
    """A socket on a chat in which nothing is said."""
    return await Socket.open(
        server.ws, api_key=acme.tenant_key, user_id="alice", chat_id=await in_thread(acme.new_chat)
    )


async def test_sockets_close_with_1012_and_the_process_ends_with_0(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    chat = await in_thread(acme.new_chat)
    socket = await Socket.open(server.ws, api_key=acme.tenant_key, user_id="alice", chat_id=chat)
    await socket.until("connection_established")
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    assert (await socket.closed())[0] == 1012
    assert await ending == 0
    assert not await in_thread(lambda: Process.objects.exists())


@pytest.mark.once
async def test_a_socket_is_closed_when_the_reply_it_sees_has_ended(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    chat, socket = await begin(server, acme)
    silent = await open_silent(server, acme)
    watcher = await Socket.open(server.ws, api_key=acme.tenant_key, user_id="bob", chat_id=chat)
    await watcher.until("message_stream_started", resumed=True)
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    assert (await silent.closed())[0] == 1012
    assert not socket.of_type("message_stream_ended")
    for follower in (socket, watcher):
        assert (await follower.closed())[0] == 1012
        assert follower.events[-1]["event_type"] == "message_stream_ended"
        assert follower.folded() == follower.events[-1]["content"]
    assert await ending == 0


@pytest.mark.once
async def test_what_the_end_of_a_reply_brings_with_it_is_told_before_the_socket_is_closed(
    acme: Actor, new_server: NewServer
) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    question = script(say="One moment. ", every_ms=500, calls=[[["escalate_to_human", {"reason": "Asked."}]]])
    _, socket = await begin(server, acme, message=question)
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    assert (await socket.closed())[0] == 1012
    assert [event["event_type"] for event in socket.events[-2:]] == ["message_stream_ended", "chat_status_changed"]
    assert await ending == 0


@pytest.mark.once
async def test_a_message_on_a_process_that_stops_is_refused_and_nothing_of_it_is_stored(
    acme: Actor, new_server: NewServer
) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    chat, socket = await begin(server, acme)
    silent = await open_silent(server, acme)
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    # Now it has taken note of the signal.
    await silent.closed()
    await socket.send({"content": "Too late", "client_message_id": "late"})
    refused = await socket.until("error")
    assert refused["error_code"] == "SERVICE_UNAVAILABLE"
    assert refused["details"]["client_message_id"] == "late"
    assert refused["details"]["retry_after"] > 0
    await socket.quiet()
    assert (await socket.closed())[0] == 1012
    assert len(socket.of_type("message_stream_ended")) == 1
    assert await ending == 0
    roles = await in_thread(
        lambda: list(Message.objects.for_tenant(acme.tenant_id).filter(chat_id=chat).values_list("role", flat=True))
    )
    assert sorted(roles) == ["assistant", "user"]


@pytest.mark.once
async def test_a_reply_can_be_stopped_while_its_process_stops(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    _, socket = await begin(server, acme, message=script(say="One two", every_ms=60_000))
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    await socket.send({"action": "stop"})
    assert (await socket.closed())[0] == 1012
    assert socket.of_type("message_stream_ended")[0]["stopped"] is True
    assert await ending == 0


@pytest.mark.once
async def test_a_socket_whose_reply_takes_longer_is_closed_when_the_time_is_up(
    acme: Actor, new_server: NewServer
) -> None:
    server = await in_thread(new_server, DRAIN_SECONDS="0.5")
    acme.base = server.http
    _, socket = await begin(server, acme, message=script(say="One two", every_ms=60_000))
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    assert (await socket.closed())[0] == 1012
    assert not socket.of_type("message_stream_ended")
    assert await ending == 0


async def test_a_reply_that_is_soon_done_ends_before_the_process_does(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    await begin(server, acme)
    assert await asyncio.to_thread(server.terminate) == 0
    states = await in_thread(lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("state", "tries")))
    assert states == [("done", 1)]


async def stop_in_the_middle_of_a_stream(server: Server, acme: Actor) -> list[Any]:
    """The data of all events of an SSE response whose server is told to stop once it has begun."""
    acme.base = server.http
    conversation = await in_thread(acme.new_conversation)
    address = f"{server.http}/api/v1/customer/conversations/{conversation}/messages"
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {acme.customer_key}"}, timeout=30) as client,
        client.stream("POST", address, json={"message": SLOW}) as response,
    ):
        chunks = response.aiter_raw()
        body = await anext(chunks)
        ending = asyncio.create_task(asyncio.to_thread(server.terminate))
        async for chunk in chunks:
            body += chunk
    assert await ending == 0
    return [data for _, data in read_sse(body)]


async def test_an_sse_response_goes_on_to_its_end(acme: Actor, new_server: NewServer) -> None:
    events = await stop_in_the_middle_of_a_stream(await in_thread(new_server), acme)
    assert events[-1] == "[DONE]"
    assert all(data["type"] == "delta" for data in events[:-1])
    stored = await in_thread(lambda: Reply.objects.for_tenant(acme.tenant_id).get())
    assert stored.state == Reply.State.DONE


async def test_a_reply_that_takes_longer_is_handed_over_with_no_try_spent(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server, DRAIN_SECONDS="0.5")
    acme.base = server.http
    chat, _ = await begin(server, acme)
    assert await asyncio.to_thread(server.terminate) == 0
    handed = await in_thread(lambda: Reply.objects.for_tenant(acme.tenant_id).get())
    assert (handed.state, handed.tries, handed.owner_id) == (Reply.State.QUEUED, 0, None)
    await in_thread(new_server, port=str(server.port))
    _, reply = await all_said(acme, chat, 2)
    assert reply["id"] == str(handed.id)
    done = await in_thread(lambda: Reply.objects.for_tenant(acme.tenant_id).get())
    assert (done.state, done.tries) == (Reply.State.DONE, 1)


async def test_each_of_many_replies_is_handed_over(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server, DRAIN_SECONDS="0.5")
    acme.base = server.http
    question = script(say="One two", every_ms=60_000)
    await asyncio.gather(*(begin(server, acme, message=question) for _ in range(40)))
    assert await asyncio.to_thread(server.terminate) == 0
    states = await in_thread(lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("state", "tries")))
    assert states == [("queued", 0)] * 40


async def test_the_sse_response_of_a_reply_that_is_handed_over_ends_with_an_error(
    acme: Actor, new_server: NewServer
) -> None:
    events = await stop_in_the_middle_of_a_stream(await in_thread(new_server, DRAIN_SECONDS="0.5"), acme)
    assert events[-1] == "[DONE]"
    assert events[-2]["type"] == "error"


async def test_messages_that_wait_are_answered_after_the_next_start(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server, DRAIN_SECONDS="0.5")
    acme.base = server.http
    chat, socket = await begin(server, acme)
    await socket.send({"content": script(say="Second")})
    await socket.until("message_received", sequence=2)
    assert await asyncio.to_thread(server.terminate) == 0
    await in_thread(new_server, port=str(server.port))
    messages = await all_said(acme, chat, 4)
    assert [message["reply_to"] for message in messages[2:]] == [messages[0]["id"], messages[1]["id"]]


async def test_a_process_that_is_told_to_stop_while_it_starts_stops(own_database: str, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    # It writes down each module once that is imported: `streaming.feed` comes before the engine that needs it.
    server = Server(database_url=own_database, log=log, PYTHONPROFILEIMPORTTIME="1").start(wait=False)
    try:
        await eventually(lambda: in_thread(lambda: " streaming.feed\n" in log.read_text()))
        assert await asyncio.to_thread(server.terminate) in (0, -signal.SIGTERM)
    finally:
        server.close()
    assert "Traceback" not in log.read_text()
