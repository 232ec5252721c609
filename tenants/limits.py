"""How many requests, messages and frames may pass?

Each is one step that answers allowed, remaining and reset together. With Redis, the windows are there
and on its clock, the same for all processes; while it is away, and without it, each process has its
own, on the monotonic clock.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from core import redis

#: Length of a REST window, in seconds (CONTRACT, guarantee 7).
WINDOW_SECONDS = 60.0
#: Windows that a process keeps by itself. Beyond them the oldest is forgotten, and its caller begins anew.
MOST_WINDOWS = 50_000


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
    """Fixed windows, one for each caller (a tenant, a user, a network), that open with the first request.

    The next one opens with the first request after the last one closed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, seconds: float = WINDOW_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        #: All are equally long, so the one that closes first stands first.
        self._windows: OrderedDict[uuid.UUID, tuple[float, int]] = OrderedDict()

    def count(self, caller_id: uuid.UUID, limit: int) -> Verdict:
        """Count one request of a caller against `limit` requests a window."""
        with self._lock:
            now = self._clock()
            end, used = self._windows.get(caller_id, (0.0, 0))
            if end <= now:
                self._windows.pop(caller_id, None)
                self._forget(now)
                end, used = now + self._seconds, 0
            allowed = used < limit
            if allowed:
                used += 1
            self._windows[caller_id] = (end, used)
        return Verdict(allowed, limit, max(0, limit - used), math.ceil(end - now))

    def _forget(self, now: float) -> None:
        while self._windows:
            end, _ = next(iter(self._windows.values()))
            if end > now and len(self._windows) < MOST_WINDOWS:
                return
            self._windows.popitem(last=False)


class SharedWindows:
    """The same windows for all processes, in Redis; this process's own while Redis is away."""

    # Counts what passes, and tells how long the window is still open: one step, on Redis's clock.
    _COUNT = """
    local used = tonumber(redis.call('GET', KEYS[1]) or '0')
    if used < tonumber(ARGV[1]) then
        used = redis.call('INCR', KEYS[1])
        if used == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return {1, used, redis.call('PTTL', KEYS[1])}
    end
    return {0, used, redis.call('PTTL', KEYS[1])}
    """
    #: Seconds in which a Redis that did not answer is not asked again.
    _LEFT_ALONE = 1.0

    def __init__(self, name: str, *, seconds: float = WINDOW_SECONDS) -> None:
        self._name = name
        self._seconds = seconds
        self._own = RequestWindows(seconds=seconds)
        self._ask_again = 0.0

    def count(self, caller_id: uuid.UUID, limit: int) -> Verdict:
        """Count one request of a caller against `limit` requests a window. With Redis, it waits for an answer."""
        if settings.REDIS_URL and time.monotonic() >= self._ask_again:
            try:
                return self._count(caller_id, limit)
            except redis.AWAY:
                self._ask_again = time.monotonic() + self._LEFT_ALONE
        return self._own.count(caller_id, limit)

    def _count(self, caller_id: uuid.UUID, limit: int) -> Verdict:
        key = f"lexicon:{self._name}:{caller_id.hex}"
        answer: Any = redis.client().eval(self._COUNT, 1, key, limit, int(self._seconds * 1000))
        allowed, used, left = answer
        # A limit of 0 opens no window (PTTL is negative): it is as long as any that would open now.
        reset = math.ceil(left / 1000) if left > 0 else math.ceil(self._seconds)
        return Verdict(bool(allowed), limit, max(0, limit - used), reset)


#: REST requests of tenants, and messages of end users that hold a chat token.
request_windows = SharedWindows("requests")
user_windows = SharedWindows("messages")
#: Of one address (`core.addresses.network_id`): new visitors of the chat page, and messages of visitors.
visitor_windows = SharedWindows("visitors", seconds=3600.0)
visitor_message_windows = SharedWindows("visitor-messages")


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
