"""How much may an address ask that shows no valid key?

STRANGERS_PER_MINUTE requests and handshakes in a window of 60 seconds, counted with Redis for all processes. What is
refused costs no statement, and no thread where the process knows already that the address has had its share. Who
shows a valid key, a chat token or a session of the admin is no stranger, whatever else the address sends.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from core.addresses import bounded_network, network_id
from core.errors import RATE_LIMIT_EXCEEDED, ApiError
from core.refusals import refused
from tenants.authentication import NoValidKey
from tenants.known import Known, Name, live_keys
from tenants.limits import SharedWindows

#: Addresses that a process remembers to have had their share.
MOST_KEPT = 10_000

_windows = SharedWindows("strangers")
#: Until when each is refused, on the monotonic clock, as far as this process knows.
_over: OrderedDict[str, float] = OrderedDict()


async def refusal(scope: Mapping[str, Any]) -> ApiError | None:
    """Count one request or handshake of a stranger: what it is refused with, where its address had its share."""
    network = _network(scope)
    if network is None:
        return None
    seconds = _seconds_over(network)
    if not seconds:
        limit = settings.STRANGERS_PER_MINUTE
        if settings.REDIS_URL:
            # Not in a thread of the database's: those may all wait for it.
            verdict = await asyncio.to_thread(_windows.count, network_id(network), limit)
        else:
            verdict = _windows.count(network_id(network), limit)
        if not verdict.remaining:
            _remember(network, verdict.reset)
        if verdict.allowed:
            return None
        seconds = verdict.reset
    refused("strangers", address=scope["client"][0])
    return ApiError(
        RATE_LIMIT_EXCEEDED,
        "Too many requests without a valid key came from this address",
        fix="Send a valid key, or wait as long as Retry-After (or details.retry_after) says.",
        retry_after=seconds,
    )


async def is_known(known: Known[Name], name: Name, scope: Mapping[str, Any]) -> bool:
    """Whether there is a live key, or a session, of this name; what it opens is for others to look up.

    Raises ApiError SERVICE_UNAVAILABLE where nobody can tell.
    """
    if name in known:
        return True
    if known.is_absent(name) and (network := _network(scope)) is not None and _seconds_over(network):
        return False
    return await known.ask(name)


async def check_key(name: str | uuid.UUID, scope: Mapping[str, Any]) -> None:
    """Before a key is looked up, by its digest or its id. Raises NoValidKey where there is no such live key."""
    if not await is_known(live_keys, name, scope):
        raise NoValidKey


def _network(scope: Mapping[str, Any]) -> str | None:
    return bounded_network(scope) if settings.STRANGERS_PER_MINUTE else None


def _seconds_over(network: str) -> int:
    """Whole seconds for which this process knows that the address is refused."""
    left = _over.get(network, 0.0) - time.monotonic()
    return math.ceil(left) if left > 0 else 0


def _remember(network: str, seconds: int) -> None:
    _over.pop(network, None)
    _over[network] = time.monotonic() + seconds
    if len(_over) > MOST_KEPT:
        _over.popitem(last=False)
