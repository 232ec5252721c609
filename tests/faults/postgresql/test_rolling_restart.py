"""All processes are restarted, one after the other, under a hundred replies: none is lost, none is doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
import websockets

from chats.models import Chat, Message, Reply
from core.db.executor import in_thread
from tenants.models import EndUser
from tests.support.actors import Actor
from tests.support.client import Socket, script
from tests.support.servers import Server

NewServer = Callable[..., Server]

REPLIES = 100
TEXT = "The quick brown fox jumps over the lazy dog. "


def new_chats(acme: Actor) -> list[str]:
    user = EndUser.objects.create(tenant_id=acme.tenant_id, external_id="alice")
    chats = [Chat(tenant_id=acme.tenant_id, user=user, title=str(number)) for number in range(REPLIES)]
    return [str(chat.id) for chat in Chat.objects.bulk_create(chats)]


@pytest.mark.fault
async def test_a_rolling_restart_loses_and_doubles_no_reply(acme: Actor, new_server: NewServer) -> None:
    # Nobody dies here, and a hundred streams on a busy machine must not look like it: the lease is that of production.
    servers = [await in_thread(new_server, DRAIN_SECONDS="1", LEASE_SECONDS="6") for _ in range(2)]
    acme.base = servers[0].http
    chats = await in_thread(new_chats, acme)
    streaming = asyncio.Semaphore(0)

    async def talk(number: int, chat: str) -> tuple[dict[str, object], int]:
        """A client that comes back, to one process or the other, until its reply ended: the end, and how many came."""
        frame = {"content": script(say=TEXT, tokens=40, total_ms=6000), "client_message_id": "one"}
        seen, visits, streams = 0, 0, False
        ended: list[dict[str, object]] = []
        while not ended:
            server = servers[(number + visits) % 2]
            visits += 1
            try:
                socket = await Socket.open(
                    server.ws, api_key=acme.tenant_key, user_id="alice", chat_id=chat, after=str(seen)
                )
                await socket.until("connection_established")
                await socket.send(frame)
                while not ended:
                    event = await socket.next()
                    seen = max(seen, event.get("sequence", 0))
                    if event["event_type"] == "message_stream_token" and not streams:
                        streams = True
                        streaming.release()
                    if event["event_type"] == "message_stream_ended":
                        ended.append(event)
                await socket.quiet()
            except (websockets.WebSocketException, OSError):
                # The server stops or is not there yet; the other one may be.
                await asyncio.sleep(0.1)
        return ended[0], len(socket.of_type("message_stream_ended"))

    talking = [asyncio.create_task(talk(number, chat)) for number, chat in enumerate(chats)]
    for _ in chats:
        await streaming.acquire()
    for server in servers:
        assert await asyncio.to_thread(server.terminate) == 0
        await asyncio.to_thread(server.start)
    told = await asyncio.gather(*talking)

    assert Counter(count for _, count in told) == {1: REPLIES}
    assert {end["content"] for end, _ in told} == {TEXT}
    stored = await in_thread(
        lambda: list(
            Message.objects.for_tenant(acme.tenant_id).filter(role=Message.Role.ASSISTANT).values_list("id", "content")
        )
    )
    assert {(str(key), content) for key, content in stored} == {(end["message_id"], TEXT) for end, _ in told}
    assert len(stored) == REPLIES
    states = Counter(
        await in_thread(lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("state", "tries")))
    )
    assert states == {(Reply.State.DONE, 1): REPLIES}
