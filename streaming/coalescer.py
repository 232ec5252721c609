"""When does what an agent said become a piece?

The first words at once, then whatever came together in about PACE seconds: eight tokens in a frame are five times the
throughput of one (measured), and no reader sees the difference. A model's words come together already
(agents/providers/read_ticker.py), and go on in the same turn of the loop; the built-in agent gives its own one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agents.contract import PACE
from streaming.reply_text import split_pieces

#: So many seconds too early are early enough: a model's words come at a beat, which has its own small delays, and a
#: timer for each of them would cost more than they do.
_EARLY = PACE / 4


async def _nothing() -> None:
    """A runner that may always push has nothing to wait for."""


class Coalescer:
    """Gathers the deltas of one reply and pushes them as pieces, in the call that brings them or by a timer.

    While `may_push` says no, all is kept; `regain` is then awaited, and may give the reply up by raising.
    """

    def __init__(
        self,
        push: Callable[[str], None],
        *,
        may_push: Callable[[], bool] = lambda: True,
        regain: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._push = push
        self._may_push = may_push
        self._regain = regain
        self._gathered: list[str] = []
        self._complete = False
        self._failure: Exception | None = None
        #: Set where `run` has something to do.
        self._called = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        #: When the next piece may go, on the event loop's clock, and the timer where one waits for it.
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, text: str) -> None:
        """The agent said this."""
        self._gathered.append(text)
        if self._timer is None and self._failure is None:
            if self._loop.time() >= self._next - _EARLY:
                self._flush()
            else:
                self._timer = self._loop.call_at(self._next, self._flush)

    def complete(self) -> None:
        """The agent says nothing more: `run` pushes the rest, which does not wait, and returns."""
        self._complete = True
        self._called.set()

    async def run(self) -> None:
        """Return when the text is complete and pushed. Raises what `push` and `regain` raise."""
        try:
            while True:
                await self._called.wait()
                self._called.clear()
                if self._gathered and not self._may_push():
                    await self._regain()
                self._flush()
                if self._failure is not None:
                    raise self._failure
                if self._complete and not self._gathered:
                    return
        finally:
            self._drop_timer()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._drop_timer()
        if self._failure is not None or not self._gathered:
            return
        if not self._may_push():
            self._called.set()
            return
        text = "".join(self._gathered)
        self._gathered.clear()
        try:
            for piece in split_pieces(text):
                self._push(piece)
        except Exception as failure:
            self._failure = failure
            self._called.set()
        self._next = self._loop.time() + PACE
