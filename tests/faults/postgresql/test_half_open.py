"""The database takes what it is sent and never answers: everybody is told so in time, and it ends by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from chats.models import Message
from core.db.executor import THREADS, in_thread
from tests.faults.postgresql.cluster import Cluster
from tests.faults.postgresql.proxy import Proxy
from tests.support.actors import Actor
from tests.support.client import script
from tests.support.servers import Server

NewServer = Callable[..., Server]


@pytest.fixture
def own_database(cluster: Cluster) -> str:
    return cluster.new_database()


@pytest.fixture
async def proxy(cluster: Cluster) -> AsyncIterator[Proxy]:
    async with Proxy(cluster.port) as proxy:
        yield proxy


@pytest.fixture
async def server(proxy: Proxy, own_database: str, cluster: Cluster, acme: Actor, new_server: NewServer) -> Server:
    """A server that reaches its database through the proxy, and gives a statement a second."""
    through = own_database.replace(f":{cluster.port}/", f":{proxy.port}/")
    server = await in_thread(new_server, database_url=through, STATEMENT_SECONDS="1")
    acme.base = server.http
    return server


def threads(server: Server) -> int:
    assert server.process is not None
    return len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))


async def test_everything_is_refused_in_time_and_goes_on_when_the_database_answers(
    server: Server, proxy: Proxy, acme: Actor
) -> None:
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    await socket.send({"content": script(say="One two three four", every_ms=1500), "client_message_id": "first"})
    await socket.until("message_stream_token")
    headers = {"X-API-Key": acme.tenant_key}
    async with httpx.AsyncClient(base_url=server.http, headers=headers, timeout=30, verify=False) as client:
        await asyncio.gather(*(client.get(f"/api/v1/chats/{chat}") for _ in range(THREADS)))
        before = threads(server)
        proxy.stall()
        # Many more than there are threads: the last ones wait for a thread that none gives back.
        asked = [asyncio.create_task(client.get(f"/api/v1/chats/{chat}")) for _ in range(8 * THREADS)]
        await socket.send({"content": script(say="Never"), "client_message_id": "second"})
        # Ten seconds and twice a bounded wait.
        async with asyncio.timeout(30):
            while (answer := await client.get("/readyz")).status_code != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            assert answer.json()["problem"]
            answers = await asyncio.gather(*asked)
            refused = await socket.until("error")
        assert {answer.status_code for answer in answers} == {503}
        assert (refused["error_code"], refused["details"]["client_message_id"]) == ("SERVICE_UNAVAILABLE", "second")
        assert (await client.get("/healthz")).status_code == 200
        # The database's, and those that views of a moment ago leave behind.
        assert threads(server) <= before + 2 * THREADS
        proxy.release()
        released = time.monotonic()
        async with asyncio.timeout(15):
            while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            assert (await client.get(f"/api/v1/chats/{chat}")).status_code == 200
        print(f"\nfull service {time.monotonic() - released:.2f} s after the database answered again")
    ended = await socket.until("message_stream_ended")
    assert "".join(event["token"] for event in socket.of_type("message_stream_token")) == ended["content"]
    # What was refused may have been stored all the same, its answer lost: sent again, it stands once.
    await socket.send({"content": script(say="Never"), "client_message_id": "second"})
    await socket.until("message_received", client_message_id="second")
    stored = Message.objects.for_tenant(acme.tenant_id).filter(chat=chat, client_message_id="second")
    assert await in_thread(stored.count) == 1
