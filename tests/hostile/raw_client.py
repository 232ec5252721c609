"""Raw connections for what no client library sends, and what the server says about them."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.support.actors import Actor
from tests.support.servers import Server

#: How long a test waits for what should happen, in seconds: a deadline, not a measure.
SOON = 30.0

TEXT, BINARY, CONT, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA


class Raw:
    """A TCP connection to the server."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=SOON)
        self._read = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def flood(self, blob: bytes, most: int) -> int:
        """Send it again and again, until it is cut or so many bytes are sent; how many were."""
        sent = 0
        with contextlib.suppress(OSError):
            while sent < most:
                sent += self.socket.send(blob)
        return sent

    def answer(self) -> Answer:
        """One HTTP response."""
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        return Answer(response.status, dict(response.getheaders()), response.read())

    def answer_of_many(self) -> Answer:
        """One HTTP response whose length is told, of several that may have come together."""
        first, *lines = self.read_until(b"\r\n\r\n").decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), headers, self.read_exactly(int(headers["content-length"])))

    def read_exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            data = self.socket.recv(65536)
            assert data, f"it was closed after {self._read!r}"
            self._read += data
        data, self._read = self._read[:size], self._read[size:]
        return data

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            data = self.socket.recv(65536)
            assert data, f"it was closed after {self._read!r}"
            self._read += data
        end = self._read.index(mark) + len(mark)
        data, self._read = self._read[:end], self._read[end:]
        return data

    def rest(self) -> bytes:
        """All that comes until the server closes the connection, or cuts it."""
        data = self._read
        with contextlib.suppress(ConnectionError):
            while read := self.socket.recv(65536):
                data += read
        return data

    def drain(self) -> None:
        """Read on, in a thread of its own, for as long as there is a connection."""
        with contextlib.suppress(OSError):
            while self.socket.recv(65536):
                pass

    # --- WebSockets ---

    def handshake(self, path: str = "/ws/chat", *, headers: Iterable[str] = (), **query: str) -> None:
        """Ask for a WebSocket; it must be granted."""
        self.send(handshake(path + ("?" + urlencode(query) if query else ""), *headers))
        head = self.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def join(self, actor: Actor, chat_id: str) -> None:
        """A socket on the chat that has been greeted."""
        self.handshake(api_key=actor.tenant_key, user_id="alice", chat_id=chat_id)
        assert self.event()["event_type"] == "connection_established"

    def frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and payload."""
        first, size = self.read_exactly(2)
        if size == 126:
            size = int.from_bytes(self.read_exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self.read_exactly(8), "big")
        return first & 0xF, self.read_exactly(size)

    def event(self) -> dict[str, Any]:
        """The next event."""
        opcode, payload = self.frame()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    def until(self, event_type: str) -> dict[str, Any]:
        """The next event of this type."""
        while (event := self.event())["event_type"] != event_type:
            pass
        return event

    def close_code(self) -> int:
        """Read on to the server's close, and past it to the end of the connection: the code."""
        while True:
            opcode, payload = self.frame()
            if opcode == CLOSE:
                assert self.rest() == b"", "something was sent after the close"
                return int.from_bytes(payload[:2], "big")


class Answer:
    """An HTTP response."""

    def __init__(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.status_code = status
        self.headers = {name.title().replace("-Id", "-ID"): value for name, value in headers.items()}
        self.content = content

    def json(self) -> Any:
        return json.loads(self.content)


def handshake(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """The head that asks for a WebSocket."""
    lines = [
        f"{method} {target} HTTP/{version}",
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, first: int = 0) -> bytes:
    """A frame as a client sends it, masked with zeros; `first` is or-ed into its first byte."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([(0x80 if fin else 0) | opcode | first]) + length + bytes(4) + payload


def refusals(server: Server) -> dict[str, int]:
    """How many were refused by now, by reason."""
    text = httpx.get(server.http + "/metrics", timeout=SOON, verify=False).text
    counted = {}
    for line in text.splitlines():
        if line.startswith("lexicon_refusals_total{"):
            counted[line.split('"')[1]] = int(float(line.rsplit(" ", 1)[1]))
    return counted


@contextmanager
def refused(server: Server, reason: str, *, least: int = 1) -> Iterator[None]:
    """What happens in here is refused for this reason; it is counted and logged, and others are served afterwards."""
    before = refusals(server)[reason]
    yield
    wait_for(lambda: refusals(server)[reason] >= before + least, f"{reason} was not counted")
    wait_for(lambda: any(line.get("reason") == reason for line in log(server)), f"{reason} was not logged")
    assert_serves(server)


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait for what the server does after the client has seen all there is."""
    until = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)


def log(server: Server) -> list[dict[str, Any]]:
    """The lines of its log."""
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def errors(server: Server) -> list[dict[str, Any]]:
    """Lines of faults of the server's own; that two serve one SQLite is the tests' own."""
    return [
        line
        for line in log(server)
        if line["level"] in ("ERROR", "CRITICAL") and line["logger"] != "streaming.heartbeat"
    ]


def assert_serves(server: Server) -> None:
    """A request that has nothing to do with it is answered."""
    assert httpx.get(server.http + "/healthz", timeout=SOON, verify=False).status_code == 200
