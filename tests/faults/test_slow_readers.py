"""A client that does not read costs little, is cut, and resumes whole; who reads beside it notices nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket as sockets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import httpx
import pytest

from chats.models import Message
from core.db.executor import in_thread
from tenants.models import Tenant
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, read_sse, script
from tests.support.servers import Server

NewServer = Callable[..., Server]

MB = 1_000_000
#: The most a client that does not read may cost the server.
MOST = 8 * MB
#: How many there are. What the server needs anyway, for the replies themselves, is counted as theirs.
CLIENTS = 10
#: Offered to each WebSocket in several replies, and to each SSE response in one.
REPLIES, OFFERED = 8, 5 * MB


def saying(characters: int, **more: Any) -> str:
    """A message that is answered with so many characters, in tokens of 4000."""
    return script(say="0123456789", repeat=characters // 10, tokens=characters // 4000, **more)


class Deaf:
    """A raw connection that reads nothing until it is asked to."""

    opened: ClassVar[list[sockets.socket]] = []

    def __init__(self, server: Server) -> None:
        self.socket = sockets.socket()
        self.opened.append(self.socket)
        self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    async def ask(self, head: str, body: bytes = b"") -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, head.replace("\n", "\r\n").encode() + body)

    async def open_socket(self, acme: Actor, chat: str) -> None:
        parameters = urlencode({"api_key": acme.tenant_key, "user_id": "deaf", "chat_id": chat})
        nonce = base64.b64encode(os.urandom(16)).decode()
        await self.ask(
            f"GET /ws/chat?{parameters} HTTP/1.1\nHost: 127.0.0.1\nConnection: Upgrade\nUpgrade: websocket\n"
            f"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: {nonce}\n\n"
        )
        await self.read(until=b"connection_established")

    async def read(self, *, until: bytes = b"", most: int = 1) -> bytes:
        """Read on to the end, or until this was read; so many bytes at a time."""
        loop = asyncio.get_running_loop()
        body = b""
        try:
            while until not in body or not until:
                if not (data := await loop.sock_recv(self.socket, most)):
                    break
                body += data
        except ConnectionResetError:
            pass  # It was cut.
        return body


def is_open(server: Server, port: int) -> bool:
    """Whether the server's side of the connection from this port still is: the kernel's word."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote = (int(address.rpartition(":")[2], 16) for address in line.split()[1:3])
        if (local, remote) == (server.port, port):
            return line.split()[3] != "07"  # CLOSE: it is being forgotten
    return False


async def all_cut(server: Server, clients: list[Deaf]) -> None:
    async def cut() -> bool:
        return not any(is_open(server, client.port) for client in clients)

    # Three times the 30 seconds that the default setting stands for.
    await eventually(cut, 90)


class Memory:
    """What a server needs beyond what it held, at most."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self._process = Path(f"/proc/{server.process.pid}")
        (self._process / "clear_refs").write_text("5")  # the peak is measured afresh
        self._before = self._read("VmRSS")

    @property
    def most(self) -> int:
        """All it had at the peak, in bytes."""
        return self._read("VmHWM")

    @property
    def peak(self) -> int:
        """In bytes."""
        return self.most - self._before

    def _read(self, name: str) -> int:
        [line] = [line for line in (self._process / "status").read_text().splitlines() if line.startswith(name + ":")]
        return int(line.split()[1]) * 1024


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    while Deaf.opened:
        Deaf.opened.pop().close()


@pytest.fixture
async def server(new_server: NewServer, acme: Actor) -> Server:
    """Gives a slow reader two seconds."""
    await in_thread(Tenant.objects.filter(id=acme.tenant_id).update, reply_max_characters=2 * OFFERED)
    # The model holds for as long as a test needs.
    server = await in_thread(new_server, SLOW_READER_SECONDS="2", MODEL_GAP_SECONDS="300")
    acme.base = server.http
    return server


async def talk(reader: Socket, count: int, size: int) -> None:
    """So many replies of so many bytes, which a healthy reader reads to their ends."""
    for number in range(count):
        ended = await reader.say(saying(size, mark=number))
        assert len(ended["content"]) == size // 10 * 10


def whole(events: list[dict[str, Any]]) -> dict[str, str]:
    """The replies a client was told, put together from their tokens."""
    said: dict[str, str] = {}
    for event in events:
        if event["event_type"] == "message_stream_token":
            assert event["offset"] == len(said.get(event["message_id"], ""))
            said[event["message_id"]] = said.get(event["message_id"], "") + event["token"]
    return said


async def test_websockets_that_read_nothing_cost_little_and_are_cut_and_resume_whole(
    server: Server, acme: Actor
) -> None:
    chat = await in_thread(acme.new_chat)
    size = OFFERED // REPLIES
    async with await acme.join(chat) as reader:
        await talk(reader, 1, size)
        clients = [Deaf(server) for _ in range(CLIENTS)]
        for client in clients:
            await client.open_socket(acme, chat)
        seen = reader.of_type("message_stream_ended")[-1]["sequence"]
        memory = Memory(server)
        await talk(reader, REPLIES, size)
        cost = memory.peak / CLIENTS
        await all_cut(server, clients)
    print(f"\na WebSocket that reads nothing of {OFFERED / MB:.0f} MB costs at most {cost / MB:.1f} MB")
    assert cost <= MOST
    told = whole(reader.events)
    assert len(told) == 1 + REPLIES
    async with await acme.join(chat, "deaf", after=str(seen)) as back:
        assert (await back.until("replay_ended"))["complete"] is True
        assert whole(back.events) == {key: told[key] for key in list(told)[-REPLIES:]}


async def test_sse_responses_that_read_nothing_cost_little_and_are_cut_and_resume_whole(
    server: Server, acme: Actor, model_server: str
) -> None:
    conversation = await in_thread(acme.new_conversation)
    address = f"{server.http}/api/v1/customer/conversations/{conversation}"
    headers = {"Authorization": f"Bearer {acme.customer_key}"}
    began = asyncio.get_running_loop().create_future()
    all_said = asyncio.Event()

    async def read() -> bytes:
        """A healthy reader, who is told of all that is said before the model holds."""
        body = b""
        question = {"message": saying(OFFERED, hold=conversation, hold_after=OFFERED // 4000)}
        async with (
            httpx.AsyncClient(headers=headers, timeout=60, verify=False) as http,
            http.stream("POST", f"{address}/messages", json=question) as response,
        ):
            began.set_result(response.headers["X-Stream-Id"])
            async for data in response.aiter_bytes():
                body += data
                if len(body) > OFFERED and len(told(read_sse(body))) == OFFERED:
                    all_said.set()
        return body

    memory = Memory(server)
    reading = asyncio.create_task(read())
    stream = await began
    clients = [Deaf(server) for _ in range(CLIENTS)]
    for client in clients:
        path = f"{address}/stream?stream={stream}".removeprefix(server.http)
        await client.ask(f"GET {path} HTTP/1.1\nHost: 127.0.0.1\nAuthorization: Bearer {acme.customer_key}\n\n")
    await all_said.wait()
    cost = memory.peak / CLIENTS
    print(f"\nan SSE response that is not read of {OFFERED / MB:.0f} MB costs at most {cost / MB:.1f} MB")
    assert cost <= MOST
    await all_cut(server, clients)

    # What reached the client, to the last whole event; then the rest, while the reply still runs.
    had = read_sse(unchunk((await clients[0].read(most=65_536)).partition(b"\r\n\r\n")[2]))
    async with (
        httpx.AsyncClient(headers={**headers, "Last-Event-ID": str(had[-1][0])}, timeout=60, verify=False) as http,
        http.stream("GET", f"{address}/stream?stream={stream}") as response,
    ):
        await http.post(f"{model_server.removesuffix('/v1')}/release/{conversation}")
        rest = read_sse(await response.aread())
    assert [number for number, _ in had + rest] == list(range(1, len(had + rest) + 1))
    assert rest[-1][1] == "[DONE]"
    assert told(had + rest) == told(read_sse(await reading)) == "0123456789" * (OFFERED // 10)


def told(events: list[tuple[int, Any]]) -> str:
    """What a client made of the events of an SSE response."""
    return "".join(data["text"] for _, data in events if data != "[DONE]")


def unchunk(body: bytes) -> bytes:
    """A chunked HTTP body that may break off, without its frames."""
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


async def test_a_websocket_that_reads_a_little_now_and_then_is_cut(server: Server, acme: Actor) -> None:
    # Each time it reads, the kernel begins to wait anew.
    chat = await in_thread(acme.new_chat)
    client = Deaf(server)
    await client.open_socket(acme, chat)

    async def sip() -> None:
        while is_open(server, client.port):
            try:
                await asyncio.get_running_loop().sock_recv(client.socket, 1024)
            except ConnectionResetError:
                return
            await asyncio.sleep(0.1)

    async with await acme.join(chat) as reader:
        await talk(reader, REPLIES, OFFERED // REPLIES)
        async with asyncio.timeout(90):
            await sip()


async def test_a_websocket_whose_data_waits_in_the_kernel_is_cut_too(server: Server, acme: Actor) -> None:
    # Far less than the kernel takes: the server itself has nothing left to write.
    chat = await in_thread(acme.new_chat)
    client = Deaf(server)
    await client.open_socket(acme, chat)
    async with await acme.join(chat) as reader:
        await talk(reader, 1, 100_000)
    await all_cut(server, [client])


async def test_a_reply_goes_on_when_its_only_reader_is_cut(server: Server, acme: Actor) -> None:
    conversation = await in_thread(acme.new_conversation)
    client = Deaf(server)
    body = json.dumps({"message": saying(OFFERED)}).encode()
    await client.ask(
        f"POST /api/v1/customer/conversations/{conversation}/messages HTTP/1.1\nHost: 127.0.0.1\n"
        f"Authorization: Bearer {acme.customer_key}\nContent-Type: application/json\nContent-Length: {len(body)}\n\n",
        body,
    )
    stored = Message.objects.for_tenant(acme.tenant_id).filter(chat=conversation, role=Message.Role.ASSISTANT)

    async def ended() -> Message | None:
        return await in_thread(stored.first)

    reply = await eventually(ended)
    assert (len(reply.content), "failed" in reply.metadata) == (OFFERED, False)
    await all_cut(server, [client])


async def test_pings_of_a_client_that_reads_nothing_cost_little(server: Server, acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    client = Deaf(server)
    await client.open_socket(acme, chat)
    ping = b"\x89\xfd" + bytes(4) + bytes(125)
    memory = Memory(server)
    try:
        async with asyncio.timeout(60):
            for _ in range(30 * MB // (1000 * len(ping))):
                await asyncio.get_running_loop().sock_sendall(client.socket, ping * 1000)
    except ConnectionError:
        pass  # It was cut in the middle.
    peak = memory.peak
    print(f"\npings of a client that reads nothing cost at most {peak / MB:.1f} MB")
    assert peak <= MOST
    await all_cut(server, [client])
