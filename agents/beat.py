"""When does this process look at what its models have said?

Every PACE seconds, at all of them together. Waking for each token of each reply costs more than reading it, and no
reader of a reply sees the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agents.contract import PACE


class Beat:
    """A moment that all who listen for it share; it comes PACE seconds after the first of them began to."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[], None]] = []

    def call(self, listener: Callable[[], None]) -> None:
        """Call `listener`, which raises nothing, at the next one."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._listeners = loop, []
        if not self._listeners:
            loop.call_later(PACE, self._come)
        self._listeners.append(listener)

    def _come(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


#: That of the event loop that runs.
BEAT = Beat()
