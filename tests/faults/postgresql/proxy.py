"""A stretch of network between a process and its database, which can stop delivering."""

from __future__ import annotations

import asyncio
import contextlib


class Proxy:
    """Passes bytes on to a port of this machine; stalled, it takes what it is sent and passes on nothing.

    So the far end looks alive to the kernel (connections are accepted, bytes acknowledged) and never answers.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._idle = asyncio.Condition()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.release()
        async with self._idle:
            for writer in self._writers:
                writer.transport.abort()
            await self._idle.wait_for(lambda: not self._writers)

    def stall(self) -> None:
        self._flows.clear()

    def release(self) -> None:
        """Deliver what was held, and go on."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            await self._flows.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        async with self._idle:
            self._writers.discard(writer)
            self._idle.notify_all()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # One end is gone, and so the other is told.
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
