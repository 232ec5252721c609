"""kill -9 of the server in the middle of a reply: the caller reads on as if nothing had been."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from core.db.executor import in_thread
from lexicon_client import AsyncClient, AsyncCustomerClient, Client, CustomerClient
from lexicon_client.text import Token
from tests.support.actors import Actor
from tests.support.client import script
from tests.support.servers import Server

NewServer = Callable[..., Server]

TEXT = "The quick brown fox jumps over the lazy dog. "
#: A reply of two seconds: long enough to die in, whatever the machine.
SLOW = script(say=TEXT, tokens=40, every_ms=50)
#: So long may a start take on a busy machine.
PATIENCE = 300


def shown(tokens: list[Token]) -> str:
    text = ""
    for token in tokens:
        text = token if token.restart else text + token
    return text


def restart(server: Server, new_server: NewServer) -> threading.Thread:
    """Kill it, and start another at the same address, in the background."""
    server.kill()
    thread = threading.Thread(target=new_server, kwargs={"port": str(server.port)})
    thread.start()
    return thread


def test_a_session_reads_on_after_a_kill(acme: Actor, new_server: NewServer) -> None:
    server = new_server()
    with Client(server.http, acme.tenant_key, attempts=PATIENCE) as client:
        chat = client.create_chat("alice")
        with client.session(chat.id, "alice") as session:
            stream = session.send(SLOW)
            tokens = iter(stream)
            told = [next(tokens)]
            thread = restart(server, new_server)
            told += tokens
        thread.join()
        assert stream.reply is not None
        assert shown(told) == stream.text == stream.reply.content == TEXT
        assert [message.content for message in client.iter_messages(chat.id)] == [SLOW, TEXT]


async def test_a_session_reads_on_after_a_kill_in_an_event_loop(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    async with AsyncClient(server.http, acme.tenant_key, attempts=PATIENCE) as client, asyncio.timeout(100):
        chat = await client.create_chat("alice")
        async with client.session(chat.id, "alice") as session:
            stream = await session.send(SLOW)
            tokens = aiter(stream)
            told = [await anext(tokens)]
            thread = restart(server, new_server)
            second = await session.send(script(say="second"))
            told += [token async for token in tokens]
            reply = await second.read()
        await in_thread(thread.join)
        assert shown(told) == stream.text == TEXT
        assert reply is not None
        assert reply.content == "second"
        contents = [message.content async for message in client.iter_messages(chat.id)]
        assert contents == [SLOW, script(say="second"), TEXT, "second"]


def test_a_conversation_reads_on_after_a_kill(acme: Actor, new_server: NewServer) -> None:
    server = new_server()
    with CustomerClient(server.http, acme.customer_key, attempts=PATIENCE) as customer:
        conversation = customer.create_conversation()
        stream = customer.send_message(conversation, SLOW)
        tokens = iter(stream)
        told = [next(tokens)]
        thread = restart(server, new_server)
        told += tokens
        thread.join()
        assert shown(told) == stream.text == TEXT
        assert [turn.content for turn in customer.history(conversation).turns] == [SLOW, TEXT]


async def test_a_conversation_reads_on_after_a_kill_in_an_event_loop(acme: Actor, new_server: NewServer) -> None:
    server = await in_thread(new_server)
    async with AsyncCustomerClient(server.http, acme.customer_key, attempts=PATIENCE) as customer, asyncio.timeout(100):
        conversation = await customer.create_conversation()
        stream = customer.send_message(conversation, SLOW)
        tokens = aiter(stream)
        told = [await anext(tokens)]
        thread = restart(server, new_server)
        told += [token async for token in tokens]
        await in_thread(thread.join)
        assert shown(told) == stream.text == TEXT
        assert [turn.content for turn in (await customer.history(conversation)).turns] == [SLOW, TEXT]
