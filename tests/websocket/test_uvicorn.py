"""What uvicorn does and daphne can not: bounds on frames, reasons of closing, and readers that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as sockets
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import websockets

from chats.changes import change_chat
from core.db.executor import in_thread
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.support.servers import Server
from tests.websocket.conftest import Model, NewTenant, history
from tests.websocket.test_handshake import ORDER, query

MIB = 1024 * 1024


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    return live_server_uvicorn


def padded(size: int) -> str:
    """A good frame of so many bytes."""
    frame = json.dumps({"content": "Hello"})
    return frame + " " * (size - len(frame))


async def test_a_frame_over_1_mib_closes_with_1009(acme: Actor) -> None:
    chat_id = acme.new_chat()
    socket = await acme.join(chat_id)
    await socket.send(padded(MIB + 1))
    assert (await socket.closed())[0] == 1009
    assert history(acme, chat_id) == []


async def test_a_frame_of_1_mib_is_read(acme: Actor) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send(padded(MIB))
        await socket.until("message_stream_ended", content="You said: Hello")


async def test_fragments_that_are_over_1_mib_together_close_with_1009(acme: Actor) -> None:
    socket = await acme.join(acme.new_chat())
    whole = padded(MIB + 1)
    with contextlib.suppress(websockets.ConnectionClosed):  # It may be closed before the last one.
        await socket.connection.send(whole[start : start + 65_536] for start in range(0, len(whole), 65_536))
    assert (await socket.closed())[0] == 1009


async def test_ten_thousand_fragments_of_one_byte_are_one_frame(acme: Actor) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.connection.send(iter(padded(10_000)))
        await socket.until("message_stream_ended", content="You said: Hello")


async def test_text_that_is_no_utf_8_closes_with_1007(acme: Actor) -> None:
    socket = await acme.join(acme.new_chat())
    await socket.connection.send(b'{"content": "\xff"}', text=True)
    assert (await socket.closed())[0] == 1007


@pytest.mark.parametrize(("given", "code", "close"), ORDER)
async def test_a_refusal_gives_its_code_as_the_reason(new_tenant: NewTenant, given: Any, code: str, close: int) -> None:
    nobody_may = await new_tenant(ws_connections=0)
    socket = await Socket.open(nobody_may.ws, **given(nobody_may))
    assert await socket.closed() == (close, code)


async def test_a_header_that_came_twice_with_different_users_is_refused(acme: Actor) -> None:
    # daphne hands both on as one value, with a comma, as a single user id may have one.
    given = query(acme, acme.new_chat())
    socket = await Socket.open(acme.ws, headers=[("X-User-ID", "alice"), ("X-User-ID", "bob")], **given)
    assert await socket.closed() == (4401, "AUTH_ERROR")


# --- Readers that do not read ---


async def deaf(actor: Actor, chat_id: str) -> Socket:
    """A socket on the chat that reads its greeting and then, but for a few kilobytes, nothing until it is asked."""
    address = urlsplit(actor.base)
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (address.hostname, address.port))
    parameters = urlencode(query(actor, chat_id))
    connection = await websockets.connect(
        f"{actor.ws}/ws/chat?{parameters}", sock=raw, max_queue=1, max_size=None, compression=None, close_timeout=1
    )
    socket = Socket(connection)
    Socket.opened.append(socket)
    await socket.until("connection_established")
    return socket


def resident(server: Server) -> int:
    """Bytes of memory the server holds."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


async def test_a_reader_that_does_not_read_holds_up_nobody_and_nothing_grows_behind_it(
    new_tenant: NewTenant, server: Server
) -> None:
    acme = await new_tenant(message_max_characters=400_000)
    # In an escalated chat there is nothing but messages: no model whose history would grow.
    chat_id = acme.new_chat()
    await in_thread(change_chat, tenant_id=acme.tenant_id, chat_id=chat_id, status="escalated")
    slow = [await deaf(acme, chat_id) for _ in range(8)]
    async with await acme.join(chat_id) as reads:

        async def talk(count: int) -> None:
            for _ in range(count):
                await reads.send({"content": "x" * 400_000})
                await reads.until("message_received")

        await talk(8)
        before = resident(server)
        await talk(32)
        grown = resident(server) - before
    assert [event["sequence"] for event in reads.of_type("message_received")] == list(range(1, 41))
    # 32 messages for 8 sockets are 102 MB.
    assert grown < 51_000_000
    for socket in slow:
        assert await socket.closed() == (1013, "SLOW_READER")
        received = [event["sequence"] for event in socket.of_type("message_received")]
        assert received == list(range(1, len(received) + 1))


async def test_a_reader_that_lags_a_little_catches_up(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    slow = await deaf(acme, chat_id)
    async with await acme.join(chat_id) as reads:
        ended = await reads.say(model.script(say="0123456789" * 50, repeat=200, tokens=200, every_ms=1))
    async with slow:
        assert await slow.until("message_stream_ended") == ended
        tokens = slow.of_type("message_stream_token")
        assert "".join(event["token"] for event in tokens) == ended["content"]
    assert len(tokens) <= len(reads.of_type("message_stream_token"))
