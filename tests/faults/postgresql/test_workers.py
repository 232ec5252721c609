"""Several processes on one port: one parent starts them, replaces them, stops them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from chats.models import Process, Reply
from core.db.executor import in_thread
from tests.faults.test_killed import SLOW, all_said, begin
from tests.support.actors import Actor
from tests.support.client import eventually, script
from tests.support.servers import Server

NewServer = Callable[..., Server]

pytestmark = pytest.mark.skipif(
    not os.environ.get("TEST_REDIS_URL"), reason="several workers: TEST_REDIS_URL is not set"
)


def workers(server: Server) -> set[int]:
    """The process ids of the server's children."""
    assert server.process is not None
    pid = server.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


async def both_serve(server: Server) -> set[int]:
    """The workers, once both are known to the database."""

    async def known() -> bool:
        return await in_thread(Process.objects.living().count) == 2

    await eventually(known)
    return workers(server)


async def test_all_stop_in_good_order_when_the_parent_is_told_to(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server, WEB_CONCURRENCY="2", DRAIN_SECONDS="0.5")
    acme.base = server.http
    assert len(await both_serve(server)) == 2
    # None of them is done by itself, however long the others take to begin.
    begun = [await begin(server, acme, message=script(say="One two", every_ms=60_000)) for _ in range(6)]
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    assert [(await socket.closed())[0] for _, socket in begun] == [1012] * 6
    assert await ending == 0
    assert not await in_thread(Process.objects.exists)
    states = await in_thread(lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("state", "tries")))
    assert states == [("queued", 0)] * 6


async def test_a_worker_that_dies_is_replaced_and_its_replies_end(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server, WEB_CONCURRENCY="2")
    acme.base = server.http
    before = await both_serve(server)
    begun = [await begin(server, acme) for _ in range(6)]
    victim = before.copy().pop()
    os.kill(victim, signal.SIGKILL)

    async def replaced() -> bool:
        now = workers(server)
        return len(now) == 2 and victim not in now and await in_thread(Process.objects.living().count) == 2

    await eventually(replaced)
    for chat, _ in begun:
        question, reply = await all_said(acme, chat, 2)
        assert (reply["reply_to"], "failed" in reply["metadata"]) == (question["id"], False)


async def test_workers_stop_in_good_order_when_their_parent_dies(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server, WEB_CONCURRENCY="2", DRAIN_SECONDS="0.5")
    acme.base = server.http
    orphans = await both_serve(server)
    await begin(server, acme, message=script(say="One two", every_ms=20_000))
    server.kill()

    async def gone() -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in orphans)  # noqa: ASYNC240

    await eventually(gone)
    assert not await in_thread(Process.objects.exists)
    reply = await in_thread(lambda: Reply.objects.for_tenant(acme.tenant_id).get())
    assert (reply.state, reply.tries) == (Reply.State.QUEUED, 0)


async def test_both_workers_get_connections(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server, WEB_CONCURRENCY="2")
    acme.base = server.http
    await both_serve(server)
    sockets = await asyncio.gather(*(begin(server, acme, message=SLOW) for _ in range(20)))
    owners = await in_thread(lambda: set(Reply.objects.for_tenant(acme.tenant_id).values_list("owner_id", flat=True)))
    assert len(owners) == 2
    assert len(sockets) == 20


async def test_a_port_that_is_taken_is_said_and_nothing_is_started(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    second = Server(
        database_url=server.env["DATABASE_URL"], log=server.log.with_suffix(".2"), port=server.port, WEB_CONCURRENCY="2"
    )
    second.start(wait=False)
    assert second.process is not None
    assert await asyncio.to_thread(second.process.wait, 60) != 0
    assert "address already in use" in second.log.read_text().lower()
    async with httpx.AsyncClient(verify=False) as client:
        assert (await client.get(server.http + "/healthz")).status_code == 200
