"""Clients written from the published documents see the end of every reply that runs when a process is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import websockets

from core.db.executor import in_thread
from tests.support.actors import Actor
from tests.support.client import Socket, script
from tests.support.servers import Server

NewServer = Callable[..., Server]

#: What each of the two processes writes when one of them is told to stop.
REPLIES = 8
TEXT = "The quick brown fox jumps over the lazy dog. "
#: Shorter than a process may drain, and over well before a client is back that comes a second after its close.
QUESTION = script(say=TEXT, tokens=30, total_ms=1500)


class SeedClient:
    """It comes back a second after a close, to the process that is still there, and never says what it missed."""

    def __init__(self, acme: Actor, chat: str, servers: list[Server]) -> None:
        self._query = {"api_key": acme.tenant_key, "user_id": "alice", "chat_id": chat}
        #: Where it connects, and where it comes back to.
        self._servers = servers
        self.streaming = asyncio.Event()
        self.ends: list[str] = []
        self.closes: list[int | None] = []

    async def run(self, question: str | None) -> None:
        """Ask, or watch, until a reply has ended."""
        while not self.ends:
            socket = await self._connect(len(self.closes))
            if question is not None:
                await socket.send({"content": question})
                question = None
            try:
                while not self.ends:
                    event = await socket.next()
                    if event["event_type"] == "message_stream_token":
                        self.streaming.set()
                    elif event["event_type"] == "message_stream_ended":
                        self.ends.append(event["content"])
            except websockets.ConnectionClosed as closed:
                self.closes.append(closed.rcvd.code if closed.rcvd else None)
                await asyncio.sleep(1)

    async def _connect(self, visits: int) -> Socket:
        server = self._servers[min(visits, len(self._servers) - 1)]
        return await Socket.open(server.ws, **self._query)


async def test_every_end_is_seen_by_who_asked_and_by_who_watches_from_another_process(
    acme: Actor, new_server: NewServer
) -> None:
    stopped, other = [await in_thread(new_server, LEASE_SECONDS="6") for _ in range(2)]
    acme.base = other.http
    clients, running = [], []
    for here, there in ((stopped, other), (other, stopped)):
        for _ in range(REPLIES):
            chat = await in_thread(acme.new_chat)
            watching, asking = SeedClient(acme, chat, [there, other]), SeedClient(acme, chat, [here, other])
            clients += [asking, watching]
            running.append(asyncio.create_task(watching.run(None)))
            running.append(asyncio.create_task(asking.run(QUESTION)))
    await asyncio.gather(*(client.streaming.wait() for client in clients))
    assert await asyncio.to_thread(stopped.terminate) == 0
    await asyncio.gather(*running)
    assert [client.closes for client in clients] == [[]] * len(clients)
    assert [client.ends for client in clients] == [[TEXT]] * len(clients)
