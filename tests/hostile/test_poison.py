"""A reply that silences each process that writes it takes two of them, ends, and holds up no other chat."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chats.models import Checkpoint, Process, Reply
from core.db.executor import in_thread
from tenants.credits import do_grant
from tenants.models import Account, CreditEntry
from tests.campaign.cluster import Replica
from tests.faults.conftest import LEASE, acme, closed_sockets, on_own_database
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, read_sse, script

__all__ = ["acme", "closed_sockets", "on_own_database"]

NewServer = Callable[[], Replica]

pytestmark = pytest.mark.fault

without_redis = pytest.mark.skipif(not os.environ.get("TEST_REDIS_URL"), reason="several processes need a Redis")


@pytest.fixture
def new_server(own_database: str, model_server: str, tmp_path: Path) -> Iterator[NewServer]:
    """Makes servers on this test's database that a reply can silence (tests/campaign/sabotage.py), not yet started."""
    servers: list[Replica] = []

    def make() -> Replica:
        server = Replica(
            database_url=own_database,
            log=tmp_path / f"server-{len(servers)}.log",
            LEASE_SECONDS=LEASE,
            OPENAI_BASE_URL=model_server,
            OPENAI_API_KEY="key-of-the-tests",
        )
        server.bug = "poison"
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


async def ask(socket: Socket, content: str) -> str:
    """Send a message; its id, once it is stored."""
    await socket.send({"content": content})
    return str((await socket.until("message_received", content=content))["message_id"])


async def history(actor: Actor, chat: str) -> list[dict[str, Any]]:
    return (await in_thread(actor.rest, "GET", f"/{chat}/messages")).json()["messages"]


def reply_to(question: str) -> Reply:
    return Reply.objects.all_tenants().get(question_id=question)


async def once(question: str, **fields: Any) -> Reply:
    """The reply to a question, once it is so."""

    async def found() -> Reply | None:
        reply = await in_thread(reply_to, question)
        return reply if all(getattr(reply, name) == value for name, value in fields.items()) else None

    reply = await eventually(found)
    assert reply is not None
    return reply


class Three:
    """Three processes; what they serve, and which of them go on answering."""

    def __init__(self, servers: list[Replica], actor: Actor) -> None:
        self.servers = servers
        self.actor = actor
        self._silent: set[str] = set()
        self._looking = [asyncio.create_task(self._look(server)) for server in servers]

    async def _look(self, server: Replica) -> None:
        async with httpx.AsyncClient(verify=False, timeout=10) as client:
            while True:
                try:
                    assert (await client.get(server.http + "/healthz")).status_code == 200
                except httpx.HTTPError:
                    self._silent.add(server.process_id)
                    return
                await asyncio.sleep(0.1)

    async def survivor(self, reply: Reply, first: Replica) -> Replica:
        """The process that owned the reply at no time, once the two others are found silent; it answered all along."""
        second = str(reply.owner_id)
        await eventually(lambda: self._found({first.process_id, second}))
        [left] = [server for server in self.servers if server.process_id not in (first.process_id, second)]
        async with httpx.AsyncClient(verify=False, timeout=30) as client:
            assert (await client.get(left.http + "/healthz")).status_code == 200
        assert self._silent == {first.process_id, second}
        return left

    async def _found(self, silent: set[str]) -> bool:
        return silent <= self._silent

    async def join_all(self, chat: str) -> list[Socket]:
        query = {"api_key": self.actor.tenant_key, "user_id": "alice", "chat_id": chat}
        sockets = [await Socket.open(server.ws, **query) for server in self.servers]
        for socket in sockets:
            await socket.until("connection_established")
        return sockets

    async def close(self) -> None:
        for task in self._looking:
            task.cancel()
        for outcome in await asyncio.gather(*self._looking, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome


@pytest.fixture
async def three(acme: Actor, new_server: NewServer) -> AsyncIterator[Three]:
    servers = [new_server() for _ in range(3)]
    for server in servers:
        server.start(wait=False)
    await asyncio.gather(*(asyncio.to_thread(server.wait_ready) for server in servers))
    acme.base = servers[0].http
    three = Three(servers, acme)
    yield three
    await three.close()


@pytest.mark.several
@without_redis
@pytest.mark.parametrize("how", ["freeze", "hang"])
async def test_the_third_process_lives_and_ends_the_reply_that_silenced_two(
    three: Three, acme: Actor, how: str
) -> None:
    await in_thread(do_grant, tenant_id=acme.tenant_id, amount=1000)
    chat = await in_thread(acme.new_chat)
    sockets = await three.join_all(chat)
    # It says a word a second, so that a checkpoint has some of them.
    text = f"one two {how.upper()}"
    question = await ask(sockets[0], script(say=text, every_ms=1000))
    started = await sockets[0].until("message_stream_started")
    reply = await once(question, state=Reply.State.FAILED)
    assert (reply.tries, str(reply.id)) == (2, started["message_id"])

    survivor = await three.survivor(reply, three.servers[0])
    acme.base = survivor.http
    socket = sockets[three.servers.index(survivor)]
    ended = await socket.until("message_stream_ended")
    await socket.quiet()
    assert (ended["message_id"], ended["failed"]) == (str(reply.id), True)
    assert ended["metadata"]["finish_reason"] == "abandoned"
    assert [event["error_code"] for event in socket.of_type("error")] == ["AGENT_ERROR"]
    assert len(socket.of_type("message_stream_ended")) == 1
    assert socket.folded() == ended["content"]
    assert ended["content"]
    assert text.startswith(ended["content"])

    _, stored = await history(acme, chat)
    assert (stored["id"], stored["content"]) == (str(reply.id), ended["content"])
    assert (stored["metadata"]["failed"], stored["metadata"]["finish_reason"]) == (True, "abandoned")
    entries = await in_thread(lambda: CreditEntry.objects.for_tenant(acme.tenant_id).filter(reason="reply").count())
    account = await in_thread(lambda: Account.objects.get(tenant_id=acme.tenant_id))
    assert (entries, account.reserved) == (1, 0)
    assert "failed" not in await socket.say(script(say="Fine"))
    assert survivor.log.read_text().count("a reply is abandoned") == 1


@pytest.mark.several
@without_redis
async def test_what_was_written_beside_one_that_freezes_at_once_is_whole(
    three: Three, acme: Actor, model_server: str
) -> None:
    first, name = three.servers[0], uuid.uuid4().hex
    beside = []
    for _ in range(5):
        chat = await in_thread(acme.new_chat)
        socket = await acme.join(chat)
        beside.append((chat, await ask(socket, script(say="one two three", hold=name))))
        await socket.until("message_stream_token")
    socket = await acme.join(await in_thread(acme.new_chat))
    await socket.send({"content": script(say="never", poison="freeze")})
    # Those who wait for it are on a process that says nothing more.
    [poisoned] = await eventually(lambda: in_thread(_failed))
    survivor = await three.survivor(poisoned, first)
    acme.base = survivor.http
    async with httpx.AsyncClient(verify=False) as client:
        await client.post(f"{model_server.removesuffix('/v1')}/release/{name}")
    for chat, question in beside:
        reply = await once(question, state=Reply.State.DONE)
        assert (await history(acme, chat))[1]["content"] == "one two three"
        assert reply.tries == 2


def _failed() -> list[Reply]:
    return list(Reply.objects.all_tenants().filter(state=Reply.State.FAILED))


@pytest.mark.several
@without_redis
async def test_who_reads_it_as_a_response_is_told_of_its_end(three: Three, acme: Actor) -> None:
    conversation = await in_thread(acme.new_conversation)
    first, *others = three.servers
    socket = await acme.join(conversation)
    question = await ask(socket, script(say="one two FREEZE", every_ms=1000))
    reply = await once(question, tries=2)
    [survivor] = [server for server in others if server.process_id != str(reply.owner_id)]
    acme.base = survivor.http
    response = await in_thread(lambda: acme.customer("GET", f"/{conversation}/stream", timeout=60))
    assert [data if data == "[DONE]" else data["type"] for _, data in read_sse(response.content)][-2:] == [
        "error",
        "[DONE]",
    ]
    ended = await once(question, state=Reply.State.FAILED)
    assert (ended.id, ended.tries) == (reply.id, 2)
    assert (await in_thread(acme.customer, "GET", f"/{conversation}/stream")).status_code == 204
    assert await three.survivor(ended, first) is survivor


@pytest.mark.parametrize("how", ["freeze", "die"])
async def test_the_only_process_ends_it_at_its_second_restart(acme: Actor, new_server: NewServer, how: str) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    acme.base = server.http
    chat, other = await in_thread(acme.new_chat), await in_thread(acme.new_chat)
    question = await ask(await acme.join(chat), script(say=f"one two {how.upper()}", every_ms=1000))
    for tries in (1, 2):
        reply = await once(question, tries=tries)
        await eventually(lambda epoch=reply.epoch: in_thread(_is_kept, epoch))

        async def silent() -> bool:
            return not await in_thread(Process.objects.living().exists)

        await eventually(silent)
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await asyncio.to_thread(server.start)
    await once(question, state=Reply.State.FAILED, tries=2)
    _, stored = await history(acme, chat)
    assert stored["metadata"]["finish_reason"] == "abandoned"
    for going_on in (chat, other):
        assert "failed" not in await (await acme.join(going_on)).say(script(say="Fine"))


def _is_kept(epoch: int) -> bool:
    return Checkpoint.objects.filter(epoch=epoch).exists()
