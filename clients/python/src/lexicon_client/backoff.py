"""How long does a client wait before it tries again?"""

from __future__ import annotations

import random

#: Seconds, the last for ever; the wait is anything up to them, so that clients do not come back all at once.
STEPS = (1, 2, 4, 8, 16)


class Backoff:
    """Counts failures in a row."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._failures = 0

    def reset(self) -> None:
        """It worked."""
        self._failures = 0

    def wait(self, error: Exception, *, least: float = 0) -> float:
        """It failed: seconds until the next try. Raises `error` where there have been enough."""
        self._failures += 1
        if self._failures >= self._attempts:
            raise error
        step = STEPS[min(self._failures, len(STEPS)) - 1]
        return least + random.uniform(0, step)
