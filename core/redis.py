"""How is Redis reached, which processes use where it is there and need for nothing that must be right?

Every call is short and gives up soon: who asks has another way. Without REDIS_URL there is none.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

#: Seconds until a call gives up: many times what an answer takes, little for the caller that waits.
CALL_SECONDS = 0.25
#: What a call fails with while Redis is away. (redis-py's own errors are no OSErrors.)
AWAY = (redis.RedisError, OSError, TimeoutError)

_TIMEOUTS: dict[str, Any] = {"socket_timeout": CALL_SECONDS, "socket_connect_timeout": CALL_SECONDS}


@cache
def client() -> redis.Redis:
    """For threads."""
    return _new_client()


def _new_client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0), **_TIMEOUTS)


def new_async_client() -> redis.asyncio.Redis:
    """For the event loop that runs now; the caller closes it."""
    return redis.asyncio.Redis.from_url(settings.REDIS_URL, retry=AsyncRetry(NoBackoff(), 0), **_TIMEOUTS)


def state() -> str:
    """What `/readyz` tells: "up", "away" or "not configured". For threads."""
    if not settings.REDIS_URL:
        return "not configured"
    # A connection of its own: what is known of one that was made before is how things were then.
    with _new_client() as own:
        try:
            own.echo("there?")
        except AWAY:
            return "away"
    return "up"


def loop_was_late(asked: float) -> bool:
    """Whether a call of this moment (monotonic) took so long that the event loop was late, and not Redis."""
    return time.monotonic() - asked > 2 * CALL_SECONDS
