"""When does this process look at what its models have said?

Every PACE seconds, at all of them together. Waking for each token of each reply costs more than reading it, and no
reader of a reply sees the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agents.contract import PACE


class ReadTicker:
    """A moment that all who listen for it share; it comes PACE seconds after the first of them began to."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}

    def call(self, listener: Callable[[], None]) -> None:
        """Call `listener`, which raises nothing, at the next one."""
        loop = asyncio.get_running_loop()
        listeners = self._listeners.get(loop)
        if listeners is None:
            listeners = self._listeners[loop] = []
            loop.call_later(PACE, self._come, loop)
        listeners.append(listener)

    def _come(self, loop: asyncio.AbstractEventLoop) -> None:
        for listener in self._listeners.pop(loop):
            listener()


#: That of this process; each event loop has its own moments.
TICKER = ReadTicker()
