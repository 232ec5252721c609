"""Receivers of webhooks that behave and misbehave, and traps that nobody may touch."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Arrived:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A real HTTP server. `script` says how the next requests are answered, `default` how those after them are.

    A number is a status; "silence" never answers, "garbage" is no HTTP, "endless" is a 200 whose body never ends;
    a "redirect:" leads elsewhere.
    """

    script: list[int | str] = field(default_factory=list)
    default: int | str = 204
    arrived: list[Arrived] = field(default_factory=list)
    url: str = ""
    #: Set when the test is over, for those who keep silent.
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        how = self.script.pop(0) if self.script else self.default
        self.arrived.append(Arrived(handler.path, headers, body))
        if how == "silence":
            self.over.wait()
        elif how == "garbage":
            handler.wfile.write(b"\x00\x01 what? \r\n\r\n")
        elif how == "endless":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self.over.is_set():
                handler.wfile.write(b"x" * 65536)
        else:
            location = str(how).removeprefix("redirect:") if isinstance(how, str) else ""
            handler.send_response(302 if location else int(how))
            if location:
                handler.send_header("Location", location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            try:
                receiver.answer(self)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Trap:
    """A port of this machine, on all of its addresses, that counts who connects."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port: int = self._socket.getsockname()[1]
        self._socket.setblocking(False)

    @property
    def accepted(self) -> int:
        """How many connected since the last time that was asked. The kernel has them before anybody accepts."""
        count = 0
        while True:
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return count
            connection.close()
            count += 1

    def close(self) -> None:
        self._socket.close()
