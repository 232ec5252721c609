"""What may a client send over HTTP, before the application sees any of it?

A head of at most 64 KiB, within `HEAD_SECONDS`, and a body that is never silent for `BODY_SECONDS`. How long a body may
be is lexicon/asgi.py's to say: here only what the application asks for is read. And there is room for new connections,
at the cost of those whose request does not come.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from http import HTTPStatus
from typing import Any

import httptools
from django.conf import settings
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from core.error_responses import CUSTOMER_FACE, malformed
from core.errors import INVALID_REQUEST, METHOD_NOT_ALLOWED, ApiError, unavailable
from core.payload import write_json
from core.refusals import refused
from lexicon.server.open_files import most_connections, most_websockets
from lexicon.server.slow_clients import PIECE, Connection
from lexicon.server.websocket_protocol import WebSocketProtocol

#: Bytes of a request line with all headers, or of a body's trailers.
MAX_HEAD = 64 * 1024
#: What any address of this service takes: where a method is unknown, nobody has looked at the address.
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST")
#: The beginning of a request line, whatever its method: a token (RFC 9110, sections 5.6.2 and 9.1).
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ /")

# How much of a request has come. COMPLETE: it is being answered.
_NOTHING, _HEAD, _BODY, _COMPLETE = range(4)

#: Connections whose request is not all there, the one that has been so for the longest first.
_unfinished: dict[HttpProtocol, None] = {}


class HttpProtocol(Connection, HttpToolsProtocol):
    """HTTP, with SSE responses."""

    _part = _NOTHING
    #: Bytes of the head, or of a body since anything of it came.
    _size = 0
    _head_is_too_long = False
    #: When what is missing must have come, by the event loop's clock. One timer for the connection looks at it.
    _deadline: float | None = None
    _timer: asyncio.TimerHandle | None = None
    #: The request that is being answered; `cycle` is the last that came, which may wait for its turn.
    _running: RequestResponseCycle | None = None

    # --- Connections ---

    def connection_made(self, transport: Any) -> None:
        """A connection is accepted. Where there are too many, the one whose request has not come for longest goes."""
        super().connection_made(transport)
        self.flow = FlowControl(self)  # type: ignore[arg-type]  # it pauses and resumes, no more
        if len(self.connections) > most_connections():
            oldest = next(iter(_unfinished), None)
            refused("connections", address=(oldest or self).address)
            if oldest is None:
                self.transport.write(_response(unavailable(), 503))
                self.transport.close()
                return
            oldest.cut()
        _unfinished[self] = None
        self._deadline = self.loop.time() + settings.HEAD_SECONDS
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._leave()
        # What responses still hold of it must not hold this.
        self.flow._transport = self.transport
        if self._running is not None and self._running is not self.cycle:
            # uvicorn tells the last one alone, and this one would write to a closed connection.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close it without a word."""
        self._leave()
        self.transport.abort()

    def _leave(self) -> None:
        _unfinished.pop(self, None)
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # --- Time ---

    def _look_again(self) -> None:
        # What begins later may have to come sooner.
        assert self._deadline is not None
        seconds = min(self._deadline - self.loop.time(), settings.HEAD_SECONDS, settings.BODY_SECONDS)
        self._timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None or self.transport.is_closing():
            return
        now = self.loop.time()
        if not self.wants_more() or self._unparsed is not None:
            # The client is not waited for, it waits.
            self._deadline = max(self._deadline, now + settings.BODY_SECONDS)
        if now < self._deadline:
            self._look_again()
            return
        refused("body_time" if self._part == _BODY else "head_time", address=self.address)
        self.cut()

    # --- What is read ---

    def wants_more(self) -> bool:
        """Whether the application took enough of the body, and no further request waits for its turn."""
        return not (self.flow.read_paused or self.pipeline)

    def resume_reading(self) -> None:
        """The application is ready for more; while requests wait for their turn, not for further ones."""
        if not self.pipeline:
            super().resume_reading()

    def pause_reading(self) -> None:
        """The application has enough (asked by `self.flow`)."""
        self.transport.pause_reading()

    def parse(self, data: bytes | memoryview) -> None:
        """Parse a piece of a request."""
        self._unset_keepalive_if_required()
        part, arrived = self._part, len(data)
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    data = self._upgrade(bytes(data[upgrade.args[0] :]))
                    if not data:
                        return
        except httptools.HttpParserError as error:
            if self._head_is_too_long:
                self._refuse_head()
            elif isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(data):
                self._refuse("malformed", ApiError(METHOD_NOT_ALLOWED), 405)
            else:
                self._refuse("malformed", malformed("This is not HTTP/1.1"), 400)
            return
        if self._part == _COMPLETE:
            return
        if self._part == _BODY:
            self._deadline = self.loop.time() + settings.BODY_SECONDS
            if self.cycle.transport is self.transport:
                self.cycle.transport = _Unread(self)  # type: ignore[assignment]
        elif self._deadline is None:
            self._deadline = self.loop.time() + settings.HEAD_SECONDS
        if part != _COMPLETE:
            # Of a piece in which another request ended, most is that one's.
            self._size += arrived
        if self._size > MAX_HEAD:
            self._refuse_head()
        elif self._timer is None:
            self._look_again()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._part, self._size = _HEAD, 0
        # One that was sent ahead may begin while another is answered.
        _unfinished.setdefault(self)

    def on_headers_complete(self) -> None:
        """A head is there: the application is called, unless it is too long."""
        # Added up only where it may be so: of the pieces in which it began and ends nothing is counted yet.
        if self._size > MAX_HEAD - 2 * PIECE:
            self._head_is_too_long = _size_of(self.parser.get_method(), self.url, self.headers) > MAX_HEAD
            if self._head_is_too_long:
                raise ValueError  # The parser ends with an error of its own.
        if self.parser.should_upgrade() and not self._should_upgrade():
            return  # It is read once more, without that.
        # Raises for a target that is none; then this is no request, and nothing of it a body.
        super().on_headers_complete()
        self._part, self._size = _BODY, 0
        if not self.parser.should_upgrade():
            # Trailers are no headers: who reads those has read them, or has not, and a proxy has judged neither.
            self.headers = []

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._size = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is all there."""
        if self._part == _HEAD:
            return  # Of a head that is read once more (see `_upgrade`) nothing is complete yet.
        self._part, self._deadline = _COMPLETE, None
        _unfinished.pop(self, None)
        if self.cycle is not None:
            self.cycle.transport = self.transport
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A response was written. Where its request is not all there, the rest of that is not read."""
        if self.is_ended:
            return
        if self._part == _BODY and self.cycle.response_complete:
            self.end()
            return
        super().on_response_complete()
        self.resume_reading()
        if self._part == _COMPLETE and self.cycle.response_complete and not self.transport.is_closing():
            self._part, self._size = _NOTHING, 0
            _unfinished[self] = None

    def end(self) -> None:
        """Close it in good order; until then it makes room where others need it."""
        super().end()
        _unfinished[self] = None

    # --- WebSockets ---

    def _upgrade(self, rest: bytes) -> bytes:
        """The head asks for another protocol: the bytes that are to be parsed as HTTP instead, if any.

        WebSockets are spoken here. Any other may be ignored (RFC 9110, section 7.8); the parser does not, and takes
        what follows for that protocol, so that it is given the head once more, without the header.
        """
        if self.parser.get_method() == b"CONNECT":
            self._refuse("malformed", ApiError(METHOD_NOT_ALLOWED), 405)
            return b""
        if not self._should_upgrade():
            head = self._head_without(b"upgrade")
            self.parser = httptools.HttpRequestParser(self)
            return head + rest
        names = {name for name, _ in self.headers}
        given = b"".join(value for name, value in self.headers if name == b"content-length")
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or b"transfer-encoding" in names or given.strip(b"0") or not self.url.isascii():
            problem = "A WebSocket handshake has a path in ASCII, no body, and a connection to itself"
            self._refuse("malformed", malformed(problem), 400)
        elif WebSocketProtocol.count >= most_websockets():
            self._refuse("connections", unavailable(), 503)
        else:
            self._leave()
            rest += bytes(self._unparsed or b"")
            self._unparsed = None
            self.connections.discard(self)
            protocol = WebSocketProtocol(
                config=self.config, server_state=self.server_state, app_state=self.app_state, _loop=self.loop
            )
            protocol.connection_made(self.transport)
            self.transport.set_protocol(protocol)
            protocol.handshake(
                method=self.parser.get_method().decode(),
                url=self.url.decode(),
                version=self.parser.get_http_version(),
                headers=self.headers,
                rest=rest,
            )
            self.parser = None  # type: ignore[assignment]  # they hold each other
        return b""

    def _head_without(self, header: bytes) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != header]
        return b"\r\n".join([*lines, b"", b""])

    # --- Refusals ---

    def _refuse_head(self) -> None:
        problem = f"The request line and the headers are over {MAX_HEAD // 1024} KiB"
        error = ApiError(INVALID_REQUEST, problem, fix="Send fewer or shorter headers, and a shorter query.")
        self._refuse("head", error, 431)

    def _refuse(self, reason: str, error: ApiError, status: int) -> None:
        """Count it, say why in the one shape, and read on no more."""
        refused(reason, address=self.address)
        self._leave()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            # The application is told that the client is gone.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline or self._part != _BODY:
                # What is written now would be read as part of another answer.
                self.transport.abort()
                return
        self.transport.write(_response(error, status, for_customer=self._is_customer_face()))
        self.end()

    def _is_customer_face(self) -> bool:
        return self._part != _NOTHING and self.url.startswith(CUSTOMER_FACE.encode())


class _Unread:
    """The transport, for a response whose request is not all there: closing it waits until the response is read."""

    __slots__ = ("_protocol", "is_closing", "write")

    def __init__(self, protocol: HttpProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """Close it in good order."""
        self._protocol.end()


def _size_of(method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a head, with the version and the line ends."""
    return len(method) + len(url) + 14 + sum(len(name) + len(value) + 4 for name, value in headers)


def _response(error: ApiError, status: int, *, for_customer: bool = False) -> bytes:
    """A whole HTTP response that tells of `error`."""
    if for_customer:
        status = error.customer_status  # Its contract has no 431.
    body = write_json(error.customer_body() if for_customer else error.lexicon_body())
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "X-Request-ID": uuid.uuid4().hex,
        **({"Allow": ", ".join(_METHODS)} if status == 405 else {}),
        **error.headers,
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
