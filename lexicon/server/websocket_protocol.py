"""What may a client send over a WebSocket, before the consumer sees any of it?

The consumer counts messages. What never becomes one is bounded here (CONTRACT, guarantee 7): control frames, which the
library answers by itself, and fragments. And what arrives once the socket was closed is not parsed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from typing import Any, ClassVar

from django.conf import settings
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN, Protocol
from websockets.server import ServerProtocol

from core.errors import INVALID_REQUEST, METHOD_NOT_ALLOWED, ApiError
from core.payload import write_json
from core.refusals import refused
from lexicon.server.slow_clients import CLOSING_SECONDS, Connection

logger = logging.getLogger(__name__)

#: CONTRACT, guarantee 7: pings, pongs and closes of a socket in one second.
CONTROL_FRAMES_PER_SECOND = 100
#: CONTRACT, guarantee 7.
FRAGMENTS_PER_MESSAGE = 20_000


class _Frames(ServerProtocol):
    """The library's parser of frames. The head was read by HttpProtocol, whose bounds are the contract's."""

    def __init__(self, owner: WebSocketProtocol, *, max_size: int) -> None:
        self._owner = owner
        super().__init__(max_size=max_size, logger=logging.getLogger("uvicorn.error"))

    def parse(self) -> Generator[None]:
        """Frames alone."""
        return Protocol.parse(self)

    def accept(self, request: Request) -> Response:
        """The answer to a handshake; one that is refused in the shape of all failures."""
        response = super().accept(request)
        if response.status_code != 101:
            kind = METHOD_NOT_ALLOWED if response.status_code == 405 else INVALID_REQUEST
            error = ApiError(kind, response.body.decode(errors="replace").partition("\n")[0][:200], fix=_FIX)
            response.body = write_json(error.lexicon_body())
            for name in ("Content-Type", "Content-Length"):
                del response.headers[name]
            response.headers["Content-Type"] = "application/json"
            response.headers["Content-Length"] = str(len(response.body))
        return response

    def recv_frame(self, frame: Frame) -> None:
        """A frame. A close may come between the fragments of a message, too (RFC 6455, 5.4; the library refuses it)."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)

    def send_close(self, code: CloseCode | int | None = None, reason: str = "") -> None:
        """The last that is sent."""
        super().send_close(code, reason)
        self._owner.end()


_FIX = "Send the handshake of RFC 6455: GET over HTTP/1.1, with Sec-WebSocket-Key and Sec-WebSocket-Version: 13."


class WebSocketProtocol(Connection, WebSocketsSansIOProtocol):
    """WebSockets."""

    #: How many this process has.
    count: ClassVar[int] = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Frames(self, max_size=self.config.ws_max_size)
        self.close_timeout = CLOSING_SECONDS
        # Nothing is read before the handshake is accepted.
        self.read_paused = True
        self._second_began = 0.0
        self._control_frames = 0
        self._last_call: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection becomes a WebSocket."""
        super().connection_made(transport)
        WebSocketProtocol.count += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        WebSocketProtocol.count -= 1
        if self._last_call is not None:
            self._last_call.cancel()

    def handshake(
        self, *, method: str, url: str, version: str, headers: list[tuple[bytes, bytes]], rest: bytes
    ) -> None:
        """Begin with the head that HttpProtocol has read; `rest` is what came after it."""
        self.transport.pause_reading()
        if rest:
            self._unparsed = memoryview(rest)
        given = Headers((name.decode("ascii"), value.decode("latin-1")) for name, value in headers)
        self.handle_connect(Request(url, given, method, f"HTTP/{version}"))

    def start_keepalive(self) -> None:
        """The handshake was accepted."""
        super().start_keepalive()
        self.read_paused = False
        self.resume_reading()

    # --- What is read ---

    def wants_more(self) -> bool:
        """Whether the application took every message it was given."""
        return not self.read_paused

    def parse(self, data: bytes | memoryview) -> None:
        """Parse frames."""
        self.conn.receive_data(data)  # type: ignore[arg-type]  # it is appended to a bytearray
        # What came before a frame that is wrong is taken all the same.
        self.handle_events()
        if self.conn.parser_exc is not None and not self.is_ended:
            self.handle_parser_exception()

    async def receive(self) -> Any:
        """The application's next event."""
        message = await self.queue.get()
        if self.read_paused and self.handshake_complete and self.queue.empty():
            self.read_paused = False
            self.resume_reading()
        return message

    def handle_ping(self) -> None:
        """Answer a ping; of a client that does not read, who might send any number of them, leave it unanswered."""
        if not self._admit_control_frame():
            return
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_pong(self, event: Frame) -> None:
        """The client lives, or says so unasked."""
        if self._admit_control_frame():
            super().handle_pong(event)

    def _admit_control_frame(self) -> bool:
        if self.is_ended:
            return False
        now = self.loop.time()
        if now - self._second_began >= 1.0:
            self._second_began, self._control_frames = now, 0
        self._control_frames += 1
        if self._control_frames > CONTROL_FRAMES_PER_SECOND:
            self._refuse("control_frames")
            return False
        return True

    def handle_cont(self, event: Frame) -> None:
        """A further fragment of a message."""
        if len(self.frames) >= FRAGMENTS_PER_MESSAGE:
            self._refuse("frame")
        elif not self.is_ended:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Give the application a message. (uvicorn's own logs text that is no UTF-8 as an error with its trace.)"""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.is_ended:
            return
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        else:
            try:
                text = data.decode()
            except UnicodeDecodeError:
                logger.info("a socket whose client sends text that is no UTF-8 is closed")
                self._close(CloseCode.INVALID_DATA)
                return
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    # --- Its end ---

    def shutdown(self) -> None:
        """The server stops. The application closes the socket when nothing more is owed to it (streaming/feed.py)."""
        if not self.handshake_complete:
            super().shutdown()
        elif not self.is_ended:
            self._last_call = self.loop.call_later(settings.DRAIN_SECONDS, self._close, CloseCode.SERVICE_RESTART)

    def handle_parser_exception(self) -> None:
        """What was sent is no frame, or too long a one. The library has written the close."""
        close = self.conn.close_sent
        assert close is not None
        if close.code == CloseCode.MESSAGE_TOO_BIG:
            refused("frame", address=self.address)
        self._finish(close.code, close.reason)

    def _refuse(self, reason: str) -> None:
        refused(reason, address=self.address)
        self._close(CloseCode.POLICY_VIOLATION)

    def _close(self, code: CloseCode) -> None:
        if self.conn.state is OPEN:
            self.conn.send_close(code)
        self._finish(code, "")

    def _finish(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.frames = []
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.end()

    def end(self) -> None:
        """The close was sent: nothing is parsed any more."""
        super().end()
        # While it is set, uvicorn does not close the transport when the application returns.
        self.close_timer = self._end_timer

    def overrun(self) -> None:
        """Count a client that goes on sending."""
        refused("after_close", address=self.address)
