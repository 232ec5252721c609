"""What does the server do with a client that does not read what it is sent?

uvicorn waits for such a client for ever: a send waits until something is read, and so does a close. Here it is
cut when its buffers have been full for `SLOW_READER_SECONDS`. It can come back and resume.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

logger = logging.getLogger(__name__)

#: Closing drops what waits in the kernel, too (SO_LINGER with no seconds to linger).
_DROP = struct.pack("ii", 1, 0)


class _Impatient(asyncio.Protocol):
    """Mixed into a protocol of uvicorn's: bounds how long the client may let what was written wait.

    A transport pauses its protocol when 64 KiB wait beyond what the kernel took, and resumes it at 16 KiB.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The client lags: from now on its time runs."""
        super().pause_writing()
        self._timer = self.loop.call_later(settings.SLOW_READER_SECONDS, self._cut)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._forget()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        logger.info("a client that does not read is cut")
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP)
        self.transport.abort()


class HttpProtocol(_Impatient, HttpToolsProtocol):
    """HTTP, with SSE responses."""


class WebSocketProtocol(_Impatient, WebSocketsSansIOProtocol):
    """WebSockets."""

    def handle_ping(self) -> None:
        """Answer a ping; of a client that does not read, who might send any number of them, leave it unanswered."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()
