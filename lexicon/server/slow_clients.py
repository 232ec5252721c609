"""What does a connection do with a client that does not read what it is sent, or sends without end?

uvicorn waits for the first for ever: a send waits until something is read, and so does a close. Here it is cut when its
buffers have been full for `SLOW_READER_SECONDS`. It can come back and resume.

And uvicorn works off all that one read of the socket brought, up to 256 KB of it, before anybody else has a turn. Here
it is worked off in pieces, and nothing more is read meanwhile: what a client sends too fast waits on its own side.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from time import monotonic

from django.conf import settings

from core.refusals import refused

#: Closing drops what waits in the kernel, too (SO_LINGER with no seconds to linger).
_DROP = struct.pack("ii", 1, 0)

#: Bytes that are parsed at once. They hold at most 682 frames, which take 2 ms.
PIECE = 4096
#: After so many seconds of parsing everybody else has a turn.
_TURN_SECONDS = 0.002
#: How long a client may take to read why it was closed, and to close its own side.
CLOSING_SECONDS = 5.0
#: What it may send meanwhile, in bytes: several times the longest message, which may be on its way.
MOST_AFTER_CLOSE = 4 * 1024 * 1024


class Connection(asyncio.Protocol):
    """Mixed into a protocol of uvicorn's: bounds what one client can make the process hold, or do at once.

    A transport pauses its protocol when 64 KiB wait beyond what the kernel took, and resumes it at 16 KiB.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    client: tuple[str, int] | None
    #: Whether nothing that arrives is looked at any more.
    is_ended = False
    _slow_reader_timer: asyncio.TimerHandle | None = None
    _end_timer: asyncio.TimerHandle | None = None
    _unparsed: memoryview | None = None
    _next_turn: asyncio.Handle | None = None
    _dropped = 0

    @property
    def address(self) -> str | None:
        """Whose connection it is, for the log: the client's address, or that of the proxy in front."""
        return self.client[0] if self.client else None

    # --- What is written ---

    def pause_writing(self) -> None:
        """The client lags: from now on its time runs."""
        super().pause_writing()
        self._slow_reader_timer = self.loop.call_later(settings.SLOW_READER_SECONDS, self._cut)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._cancel_slow_reader_timer()

    def _cancel_slow_reader_timer(self) -> None:
        if self._slow_reader_timer is not None:
            self._slow_reader_timer.cancel()
            self._slow_reader_timer = None

    def _cut(self) -> None:
        refused("slow_reader", address=self.address)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP)
        self.transport.abort()

    # --- What is read ---

    def parse(self, data: bytes | memoryview) -> None:
        """Parse at most `PIECE` bytes. The protocol's own."""
        raise NotImplementedError

    def wants_more(self) -> bool:
        """Whether the application is ready for more than it has. The protocol's own."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse what was read, in pieces where it is long."""
        if self.is_ended:
            self._drop(len(data))
        elif self._unparsed is None and len(data) <= PIECE:
            self.parse(data)
        else:
            self._unparsed = memoryview(data if self._unparsed is None else bytes(self._unparsed) + data)
            self.transport.pause_reading()
            self._parse_on()

    def resume_reading(self) -> None:
        """The application is ready for more: first for what was read and not parsed yet."""
        if self._unparsed is None:
            self.transport.resume_reading()
        elif self._next_turn is None:
            self._next_turn = self.loop.call_soon(self._parse_on)

    def _parse_on(self) -> None:
        self._next_turn = None
        end = monotonic() + _TURN_SECONDS
        while self._unparsed is not None and self.wants_more():
            piece, rest = self._unparsed[:PIECE], self._unparsed[PIECE:]
            self._unparsed = rest if len(rest) else None
            self.parse(piece)
            if monotonic() >= end:
                break
        if self.wants_more():
            self.resume_reading()

    # --- Its end ---

    def end(self) -> None:
        """Look at nothing that arrives any more, and close once what was written is read.

        Closing at once would reset the connection where anything of the client's is unread, and what was written to it
        (why it is closed) would be lost. So only the server's own side is closed; then the client closes its own, or
        has `CLOSING_SECONDS`. The caller writes before the event loop turns.
        """
        if self.is_ended:
            return
        self.is_ended = True
        self._unparsed = None
        self.loop.call_soon(self._close_own_side)
        self._end_timer = self.loop.call_later(CLOSING_SECONDS, self.transport.abort)

    def _close_own_side(self) -> None:
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.transport.resume_reading()

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > MOST_AFTER_CLOSE:
            self.overrun()
            self.transport.abort()

    def overrun(self) -> None:
        """The client goes on sending after the end, and is cut. The protocol's own, where it has to say something."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self.is_ended = True
        self._unparsed = None
        self._cancel_slow_reader_timer()
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None
