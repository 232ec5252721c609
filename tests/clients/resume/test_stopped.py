"""A message that is said while the server stops is stored and answered by its successor, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from core.db.executor import in_thread
from lexicon_client import AsyncClient, Client
from tests.clients.resume.test_killed import PATIENCE, SLOW, TEXT
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.support.servers import Server

NewServer = Callable[..., Server]

pytestmark = pytest.mark.once


async def stop(acme: Actor, server: Server) -> None:
    """Tell it to stop; it has taken note when this returns."""
    acme.base = server.http
    chat = await in_thread(acme.new_chat)
    silent = await Socket.open(server.ws, api_key=acme.tenant_key, user_id="bob", chat_id=chat)
    await silent.until("connection_established")
    server.process.terminate()  # type: ignore[union-attr]  # it was started
    assert (await silent.closed())[0] == 1012


async def test_a_session_says_it_again(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)

    def talk() -> list[str]:
        with Client(server.http, acme.tenant_key, attempts=PATIENCE) as client:
            chat = client.create_chat("alice")
            with client.session(chat.id, "alice") as session:
                first = session.send(SLOW)
                next(iter(first))
                asyncio.run(stop(acme, server))
                second = session.send("Hello")
                assert first.read().content == TEXT  # type: ignore[union-attr]  # no person answers
                assert server.terminate() == 0
                new_server(port=str(server.port))
                second.read()
            return [message.content for message in client.iter_messages(chat.id)]

    assert (await in_thread(talk))[:3] == [SLOW, TEXT, "Hello"]


async def test_a_session_in_an_event_loop_says_it_again(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    async with AsyncClient(server.http, acme.tenant_key, attempts=PATIENCE) as client, asyncio.timeout(100):
        chat = await client.create_chat("alice")
        async with client.session(chat.id, "alice") as session:
            first = await session.send(SLOW)
            await anext(aiter(first))
            await stop(acme, server)
            second = await session.send("Hello")
            assert (await first.read()).content == TEXT  # type: ignore[union-attr]  # no person answers
            assert await in_thread(server.terminate) == 0
            await in_thread(new_server, port=str(server.port))
            await second.read()
        assert [message.content async for message in client.iter_messages(chat.id)][:3] == [SLOW, TEXT, "Hello"]
