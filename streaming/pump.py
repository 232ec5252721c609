"""When does what the model said become a piece?

The first words at once, then whatever came together in 20 ms: eight tokens in a frame are five
times the throughput of one (measured), and no reader sees the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streaming.live import cut

#: Seconds between two pushes.
EVERY = 0.020


class Pump:
    """Gathers the deltas of one reply and pushes them as pieces."""

    def __init__(self, push: Callable[[str], Awaitable[None]]) -> None:
        self._push = push
        self._gathered: list[str] = []
        self._more = asyncio.Event()
        self._complete = False
        self._pause: asyncio.Future[None] | None = None

    def add(self, text: str) -> None:
        """The model said this."""
        self._gathered.append(text)
        self._more.set()

    def complete(self) -> None:
        """The model says nothing more: `run` pushes the rest and returns."""
        self._complete = True
        self._more.set()
        self._end_pause()

    async def run(self) -> None:
        """Push pieces until the text is complete. Raises what `push` raises."""
        while True:
            await self._more.wait()
            self._more.clear()
            text = "".join(self._gathered)
            self._gathered.clear()
            for piece in cut(text):
                await self._push(piece)
            if self._complete and not self._gathered:
                return
            if not self._complete:
                await self._rest()

    async def _rest(self) -> None:
        """Wait for more to come together; the end of the text does not wait."""
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(EVERY, self._end_pause)
        try:
            await self._pause
        finally:
            timer.cancel()

    def _end_pause(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)
