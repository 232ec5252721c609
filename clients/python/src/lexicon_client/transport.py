"""How does a request reach the service, and what is done where it fails?

What failed without an answer, and what the service or a proxy before it refused for a moment (502, 503, 504),
is sent again after a while; any other failure is raised at once. A rate limit is the caller's to wait out.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeVar

import httpx

from lexicon_client.backoff import Backoff
from lexicon_client.calls import Call
from lexicon_client.errors import error_of
from lexicon_client.failure import LexiconError, Unreachable

T = TypeVar("T")

MOMENTARY = (502, 503, 504)


class Transport:
    """Requests, one after the other."""

    def __init__(self, base_url: str, headers: dict[str, str], *, timeout: float, attempts: int) -> None:
        self.attempts = attempts
        self.http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout)

    def send(self, call: Call[T]) -> T:
        """Send it, as often as it takes, and read the answer."""
        backoff = Backoff(self.attempts)
        while True:
            try:
                return _read(call, self.http.request(**call.request))
            except (httpx.TransportError, LexiconError) as error:
                time.sleep(wait_after(error, backoff, repeatable=call.repeatable))


class AsyncTransport:
    """Requests, at once if need be."""

    def __init__(self, base_url: str, headers: dict[str, str], *, timeout: float, attempts: int) -> None:
        self.attempts = attempts
        self.http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=timeout)

    async def send(self, call: Call[T]) -> T:
        """Send it, as often as it takes, and read the answer."""
        backoff = Backoff(self.attempts)
        while True:
            try:
                return _read(call, await self.http.request(**call.request))
            except (httpx.TransportError, LexiconError) as error:
                await asyncio.sleep(wait_after(error, backoff, repeatable=call.repeatable))


def wait_after(error: Exception, backoff: Backoff, *, repeatable: bool = True) -> float:
    """Seconds until it is sent again. Raises the error where it is not, or not any more."""
    known = error if isinstance(error, LexiconError) else unreachable(error)
    momentary = known.status in MOMENTARY or (isinstance(known, Unreachable) and known.status is None)
    if not (momentary and repeatable):
        raise known
    return backoff.wait(known, least=known.retry_after or 0)


def unreachable(error: Exception) -> Unreachable:
    """What could not be sent, or was cut."""
    failure = Unreachable(str(error) or type(error).__name__)
    failure.__cause__ = error
    return failure


def refusal(response: httpx.Response) -> LexiconError:
    """The failure that an answer (read to its end) tells of."""
    body: Any
    try:
        body = response.json()
    except ValueError:
        body = None
    return error_of(
        body,
        status=response.status_code,
        retry_after=response.headers.get("Retry-After"),
        request_id=response.headers.get("X-Request-ID"),
    )


def _read(call: Call[T], response: httpx.Response) -> T:
    if not response.is_success:
        raise refusal(response)
    try:
        return call.read(response.json())
    except (ValueError, LookupError, TypeError) as error:
        raise Unreachable(f"the answer was {response.status_code}, and not the service's", status=200) from error


def socket_address(base_url: str) -> str:
    """Where the WebSocket of a service is."""
    return "ws" + base_url.rstrip("/").removeprefix("http") + "/ws/chat"
