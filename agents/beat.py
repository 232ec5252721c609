"""When does this process look at what its models have said?

Every PACE seconds, at all of them together. Waking for each token of each reply costs more than reading it, and no
reader of a reply sees the difference.
"""

from __future__ import annotations

import asyncio

from agents.contract import PACE


class Beat:
    """A moment that all who wait for it share; it comes PACE seconds after the first of them began to wait."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait for the next one. Who is cancelled meanwhile disturbs nobody."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._waiting = loop, []
        if not self._waiting:
            loop.call_later(PACE, self._come)
        own = loop.create_future()
        self._waiting.append(own)
        await own

    def _come(self) -> None:
        waiting, self._waiting = self._waiting, []
        for own in waiting:
            if not own.done():
                own.set_result(None)


#: That of the event loop that runs.
BEAT = Beat()
