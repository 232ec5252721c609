"""Replies of different chats are written side by side."""

from __future__ import annotations

import asyncio
import uuid

import httpx

from core.db.executor import in_thread
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, script
from tests.support.servers import Server

CHATS = 50


async def test_fifty_replies_are_open_at_once_and_end_together(acme: Actor, server: Server, model_server: str) -> None:
    """Each holds on after its first words until all have said theirs: one after another would never get there."""
    name = uuid.uuid4().hex
    question = script(say=f"{name} and more", hold=name)

    async def begin() -> Socket:
        chat = await in_thread(acme.new_chat)
        socket = await Socket.open(server.ws, api_key=acme.tenant_key, user_id="alice", chat_id=chat)
        await socket.send({"content": question})
        await socket.until("message_stream_token")
        return socket

    model = model_server.removesuffix("/v1")
    sockets = await asyncio.gather(*(begin() for _ in range(CHATS)))
    async with httpx.AsyncClient(base_url=model) as client:
        calls = (await client.get("/calls", params={"contains": name})).json()
        assert (calls["count"], calls["open"]) == (CHATS, CHATS)
        await client.post(f"/release/{name}")
        ended = await asyncio.gather(*(socket.until("message_stream_ended") for socket in sockets))

        async def all_closed() -> bool:
            return (await client.get("/calls", params={"contains": name})).json()["open"] == 0

        await eventually(all_closed)
    assert {event["content"] for event in ended} == {f"{name} and more"}
    await Socket.close_all()
