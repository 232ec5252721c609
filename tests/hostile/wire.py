"""HTTP and WebSockets as an attacker speaks them: bytes, as they are, from an address of the attacker's own.

Nothing here is careful: what a server must refuse can be sent.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

#: Largest head and frame that is read.
MOST = 64 * 2**20

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, last: bool = True) -> bytes:
    """A WebSocket frame of a client. It is masked with zeros, which leaves the payload as it is."""
    head = bytes([opcode | (0x80 if last else 0)])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 2**16:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    return head + b"\0\0\0\0" + payload


@dataclass
class Answer:
    """What a request was answered."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Connection:
    """One connection. Reading and writing raise OSError or EOFError where the other end has left."""

    #: Bytes that all of them were sent.
    sent = 0

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader = reader
        self.writer = writer
        self.host = host

    @classmethod
    async def open(cls, port: int, address: str) -> Connection:
        """To the port of 127.0.0.1, from another address of this machine."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0), limit=MOST)
        return cls(reader, writer, f"127.0.0.1:{port}")

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave at once: what is on its way is nobody's."""
        self.writer.transport.abort()

    @property
    def is_closed(self) -> bool:
        """Whether the other end has left, as far as is known."""
        return self.writer.transport.is_closing() or self.reader.at_eof()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        Connection.sent += len(data)

    async def is_cut(self, seconds: float) -> bool:
        """Whether the other end leaves within that time; what it sends meanwhile is thrown away."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(2**16):
                    pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    # --- HTTP ---

    async def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request and read its answer."""
        await self.send(request(method, path, {"Host": self.host, **(headers or {})}, body))
        return await self.answer(head_only=method == "HEAD")

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer. Raises ValueError where it is none."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        pairs = [line.partition(":")[::2] for line in lines]
        headers = {name.lower(): value.strip() for name, value in pairs}
        cookies = dict(
            value.strip().partition(";")[0].partition("=")[::2] for name, value in pairs if name.lower() == "set-cookie"
        )
        status = int(first.split()[1])
        if status == 100:
            # "Go on": what is answered comes after it.
            return await self.answer(head_only=head_only)
        if head_only or status in (101, 204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", ""):
            parts = []
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                parts.append((await self.reader.readexactly(size + 2))[:-2])
            await self.reader.readline()
            body = b"".join(parts)
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.reader.read()
        return Answer(status, headers, body, cookies)

    # --- WebSocket ---

    async def upgrade(self, path: str = "/ws/chat", **query: str) -> int:
        """Ask for a WebSocket: the status, 101 where there is one now."""
        await self.send(handshake(self.host, path + ("?" + urlencode(query) if query else "")))
        return (await self.answer()).status

    async def read_frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and payload."""
        first, second = await self.reader.readexactly(2)
        size = second & 127
        if size == 126:
            [size] = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            [size] = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 15, await self.reader.readexactly(size)

    async def event(self) -> dict[str, Any]:
        """The next event. Raises EOFError where the socket is closed."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == TEXT:
                return dict(json.loads(payload))
            if opcode == CLOSE:
                raise EOFError(f"closed with {int.from_bytes(payload[:2], 'big')}")

    async def until(self, *kinds: str) -> dict[str, Any]:
        """Read on until an event of one of these types."""
        while True:
            event = await self.event()
            if event["event_type"] in kinds:
                return event

    async def say(self, content: str, **fields: Any) -> None:
        """Send a message, and wait for nothing."""
        await self.send(frame(TEXT, json.dumps({"content": content, **fields}, ensure_ascii=False).encode()))


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request's bytes."""
    given = dict(headers)
    if body and not {"transfer-encoding", "content-length"} & {name.lower() for name in given}:
        given["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body


def handshake(host: str, path: str, **headers: str) -> bytes:
    """The request that asks for a WebSocket."""
    key = base64.b64encode(b"a stranger's key").decode()
    return request(
        "GET",
        path,
        {
            "Host": host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            **headers,
        },
    )


def multipart(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]) -> tuple[str, bytes]:
    """A form with files: its content type and body."""
    boundary = "a-boundary-that-no-file-holds"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, (filename, content) in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        parts.append((head + "Content-Type: application/octet-stream\r\n\r\n").encode() + content + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode()
