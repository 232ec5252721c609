"""How many requests and frames may pass?

Both are one step that answers allowed, remaining and reset together, on the monotonic clock.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

#: Length of a REST window, in seconds (CONTRACT, guarantee 7).
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a request was told: whether it passes, and the three figures of its headers."""

    allowed: bool
    limit: int
    remaining: int
    #: Whole seconds to the window's end.
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The X-RateLimit headers."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class RequestWindows:
    """Fixed windows, one for each tenant (or user): it opens with the first request after the last one closed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[uuid.UUID, tuple[float, int]] = {}

    def count(self, tenant_id: uuid.UUID, limit: int) -> Verdict:
        """Count one request of a tenant against `limit` requests a window."""
        with self._lock:
            now = self._clock()
            end, used = self._windows.get(tenant_id, (0.0, 0))
            if end <= now:
                self._forget(now)
                end, used = now + WINDOW_SECONDS, 0
            allowed = used < limit
            if allowed:
                used += 1
            self._windows[tenant_id] = (end, used)
        return Verdict(allowed, limit, max(0, limit - used), math.ceil(end - now))

    def _forget(self, now: float) -> None:
        if len(self._windows) > 1000:
            self._windows = {key: window for key, window in self._windows.items() if window[0] > now}


#: REST requests of tenants, and messages of end users that hold a chat token.
request_windows = RequestWindows()
user_windows = RequestWindows()


class FrameRate:
    """At most `per_second` frames of one connection in any one second."""

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._admitted: deque[float] = deque(maxlen=per_second)

    def admit(self) -> bool:
        """Whether one more frame may pass now; one that may not is not counted."""
        now = self._clock()
        full = len(self._admitted) == self._admitted.maxlen
        if full and (not self._admitted or now - self._admitted[0] < 1.0):
            return False
        self._admitted.append(now)
        return True
