"""A process that slept through its lease stores nothing, and nobody hears it."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Callable

import httpx

from chats.models import Reply
from core.db.executor import in_thread
from tests.faults.test_killed import all_said, begin
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, script
from tests.support.servers import Server

NewServer = Callable[..., Server]


class Sleep:
    """A process that fell asleep while it wrote a reply, and another one that took the reply over."""

    def __init__(self, acme: Actor, new_server: NewServer, model_server: str) -> None:
        self.acme = acme
        self._new_server = new_server
        self._model = model_server.removesuffix("/v1")
        self._name = uuid.uuid4().hex

    async def begin(self) -> None:
        """Both processes hold the reply at its second word until `release`."""
        self.sleeper = await in_thread(self._new_server)
        self.acme.base = self.sleeper.http
        held = script(say="one two three four", hold=self._name)
        self.chat, self.socket = await begin(self.sleeper, self.acme, message=held)
        self.heir = await in_thread(self._new_server)
        self.acme.base = self.heir.http
        self.sleeper.signal(signal.SIGSTOP)
        await eventually(lambda: in_thread(lambda: self.stored().tries == 2))

    def stored(self) -> Reply:
        return Reply.objects.for_tenant(self.acme.tenant_id).get()

    async def release(self) -> dict[str, object]:
        """The heir's reply, told to its end."""
        async with httpx.AsyncClient(verify=False) as client:
            await client.post(f"{self._model}/release/{self._name}")
        return (await all_said(self.acme, self.chat, 2))[1]


async def test_a_process_that_wakes_after_its_lease_stores_nothing(
    acme: Actor, new_server: NewServer, model_server: str
) -> None:
    sleep = Sleep(acme, new_server, model_server)
    await sleep.begin()
    reply = await sleep.release()
    sleep.sleeper.signal(signal.SIGCONT)
    assert await asyncio.to_thread(sleep.sleeper.terminate) == 0
    assert (await all_said(acme, sleep.chat, 2))[1] == reply
    stored = await in_thread(sleep.stored)
    assert (stored.state, stored.tries, stored.epoch) == (Reply.State.DONE, 2, 2)


async def test_a_process_that_wakes_while_its_heir_writes_stores_nothing(
    acme: Actor, new_server: NewServer, model_server: str
) -> None:
    sleep = Sleep(acme, new_server, model_server)
    await sleep.begin()
    sleep.sleeper.signal(signal.SIGCONT)
    assert (await sleep.release())["content"] == "one two three four"
    assert await asyncio.to_thread(sleep.sleeper.terminate) == 0
    stored = await in_thread(sleep.stored)
    assert (stored.state, stored.tries, stored.epoch) == (Reply.State.DONE, 2, 2)


async def test_the_sleepers_own_sockets_hear_the_reply_that_stands(
    acme: Actor, new_server: NewServer, model_server: str
) -> None:
    sleep = Sleep(acme, new_server, model_server)
    await sleep.begin()
    reply = await sleep.release()
    sleep.sleeper.signal(signal.SIGCONT)
    ended = await sleep.socket.until("message_stream_ended")
    assert (ended["message_id"], ended["content"]) == (reply["id"], reply["content"])
    assert sleep.socket.folded() == ended["content"]


async def test_the_heirs_sockets_hear_its_try_from_the_beginning(
    acme: Actor, new_server: NewServer, model_server: str
) -> None:
    sleep = Sleep(acme, new_server, model_server)
    await sleep.begin()
    socket = await Socket.open(sleep.heir.ws, api_key=acme.tenant_key, user_id="alice", chat_id=sleep.chat)
    started = await socket.until("message_stream_started")
    await sleep.release()
    ended = await socket.until("message_stream_ended")
    assert started["resumed"] is True
    assert "".join(event["token"] for event in socket.of_type("message_stream_token")) == ended["content"]
    sleep.sleeper.signal(signal.SIGCONT)
