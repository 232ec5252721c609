"""PostgreSQL dies and comes back while everything runs: nothing is lost, and nobody has to be restarted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from chats.models import Process, Reply
from core.db.executor import in_thread
from tests.faults.conftest import LEASE
from tests.faults.postgresql.cluster import Cluster
from tests.faults.test_killed import begin
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, read_sse, script
from tests.support.servers import Server

NewServer = Callable[..., Server]

#: A reply that goes on for longer than the database is away.
LONG = script(say="The quick brown fox jumps over the lazy dog. ", tokens=45, total_ms=6000)


@pytest.fixture
def own_database(cluster: Cluster) -> str:
    return cluster.new_database()


@asynccontextmanager
async def away(cluster: Cluster, seconds: float) -> AsyncIterator[None]:
    """The database dies, is away for so long at least, and is back."""
    await asyncio.to_thread(cluster.stop)
    began = time.monotonic()
    try:
        yield
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        await asyncio.to_thread(cluster.start)


async def test_replies_that_are_being_said_end_whole(cluster: Cluster, acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    begun = await asyncio.gather(*(begin(server, acme, message=LONG) for _ in range(5)))
    conversation = await in_thread(acme.new_conversation)
    streaming = asyncio.create_task(
        in_thread(acme.customer, "POST", f"/{conversation}/messages", json={"message": LONG})
    )
    await eventually(
        lambda: in_thread(lambda: Reply.objects.for_tenant(acme.tenant_id).filter(chat=conversation).exists())
    )
    async with away(cluster, 2):
        pass
    text = "The quick brown fox jumps over the lazy dog. "
    for _, socket in begun:
        ended = await socket.until("message_stream_ended")
        assert (ended["content"], socket.folded()) == (text, text)
        assert len(socket.of_type("message_stream_started")) == 1
    events = read_sse((await streaming).content)
    assert "".join(data["text"] for _, data in events[:-1]) == text
    states = await in_thread(lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("state", "tries")))
    assert states == [("done", 1)] * 6


async def test_requests_are_answered_503_meanwhile_and_200_again_soon(
    cluster: Cluster, acme: Actor, new_server: NewServer
) -> None:
    server = await in_thread(new_server, STATEMENT_SECONDS="1")
    acme.base = server.http
    chat = await in_thread(acme.new_chat)
    calls = [
        ("GET", f"/api/v1/chats/{chat}", None),
        ("POST", "/api/v1/chats/", {"user_id": "alice"}),
        ("GET", f"/api/v1/chats/{chat}/messages", None),
    ]
    headers = {"X-API-Key": acme.tenant_key, "Authorization": f"Bearer {acme.customer_key}"}
    answers: list[httpx.Response] = []
    async with httpx.AsyncClient(base_url=server.http, headers=headers, timeout=30, verify=False) as client:

        async def ask() -> list[httpx.Response]:
            customer = client.post("/api/v1/customer/conversations")
            return list(await asyncio.gather(*(client.request(m, p, json=b) for m, p, b in calls), customer))

        # Long enough for whoever waits twice as long after each try to come too late.
        async with away(cluster, 8):
            until = time.monotonic() + 8
            while time.monotonic() < until:
                answers += await ask()
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).status_code == 503
        async with asyncio.timeout(6):
            back = time.monotonic()
            while (await client.get(calls[0][1])).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        print(f"\nfirst answer {time.monotonic() - back:.2f} s after PostgreSQL was back")
        assert [answer.status_code for answer in await ask()] == [200, 201, 200, 201]
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert {answer.json().get("error_code") or answer.json()["code"] for answer in answers} == {"SERVICE_UNAVAILABLE"}


async def test_sockets_stay_open_and_what_was_refused_can_be_sent_again(
    cluster: Cluster, acme: Actor, new_server: NewServer
) -> None:
    server = await in_thread(new_server, STATEMENT_SECONDS="1")
    acme.base = server.http
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    before = await socket.say(script(say="Before"), client_message_id="before")
    async with away(cluster, 0):
        await socket.send({"content": script(say="Meanwhile"), "client_message_id": "meanwhile"})
        refused = await socket.until("error")
        assert refused["error_code"] == "SERVICE_UNAVAILABLE"
        assert refused["details"]["client_message_id"] == "meanwhile"
        newcomer = await Socket.open(server.ws, api_key=acme.tenant_key, user_id="bob", chat_id=chat)
        assert (await newcomer.closed())[0] == 1013
        assert newcomer.of_type("error")[0]["error_code"] == "SERVICE_UNAVAILABLE"
    for name in ("before", "meanwhile"):
        while True:
            await socket.send({"content": script(say=name.title()), "client_message_id": name})
            event = await socket.next()
            while event["event_type"] not in ("message_received", "error"):
                event = await socket.next()
            if event["event_type"] == "message_received":
                break
    await socket.until("message_stream_ended", content="Meanwhile")
    history = (await in_thread(acme.rest, "GET", f"/{chat}/messages")).json()["messages"]
    assert [message["content"] for message in history[1::2]] == ["Before", "Meanwhile"]
    assert history[1]["id"] == before["message_id"]


async def test_nobody_takes_a_reply_over_when_the_database_was_away_for_two_leases(
    cluster: Cluster, acme: Actor, new_server: NewServer
) -> None:
    servers = [await in_thread(new_server, STATEMENT_SECONDS="1") for _ in range(2)]
    acme.base = servers[0].http
    message = script(say="The quick brown fox jumps over the lazy dog. ", tokens=45, total_ms=9000)
    begun = [await begin(server, acme, message=message) for server in servers for _ in range(3)]
    async with away(cluster, 2 * float(LEASE) + 0.5):
        pass
    for _, socket in begun:
        ended = await socket.until("message_stream_ended")
        assert socket.folded() == ended["content"]
        assert len(socket.of_type("message_stream_started")) == 1
    states = await in_thread(
        lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("state", "tries", "epoch"))
    )
    assert states == [("done", 1, 1)] * 6
    assert await in_thread(Process.objects.living().count) == 2
