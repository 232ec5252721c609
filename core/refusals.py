"""How often was somebody refused, without a log line for each?

Being refused costs the caller nothing, so it can be had a million times. Each refusal is counted in `/metrics`; the log
has at most one line a second for each reason, which says how many there were since the line before.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from core.observability import logs, metrics

logger = logging.getLogger(__name__)

#: Seconds between two lines of one reason.
LINE_EVERY = 1.0


class Refusals:
    """What was refused, by reason. Safe for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._logged_at: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}
        self._address: dict[str, str | None] = {}

    def count(self, reason: str, *, address: str | None = None) -> None:
        """Count one refusal. `reason` is one of `metrics.REFUSAL_REASONS`, `address` the caller's, for the log."""
        metrics.REFUSALS.labels(reason).inc()
        with self._lock:
            self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
            self._address[reason] = address
        self.log()

    def log(self) -> None:
        """Write the lines that are due: a second after the last of their reason, where there is anything to tell."""
        now = self._clock()
        with self._lock:
            due = [
                (reason, self._unlogged.pop(reason), self._address.pop(reason))
                for reason in list(self._unlogged)
                if now - self._logged_at.get(reason, float("-inf")) >= LINE_EVERY
            ]
            self._logged_at.update((reason, now) for reason, _, _ in due)
        for reason, count, address in due:
            logger.warning("refused", extra=logs.fields(reason=reason, count=count, last_address=address))


_refusals = Refusals()
refused = _refusals.count


async def keep_logging() -> None:
    """Write the lines that no later refusal brings about, until cancelled."""
    while True:
        await asyncio.sleep(LINE_EVERY)
        _refusals.log()
