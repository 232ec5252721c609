"""What do the middlewares of several rooms share?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

#: Paths that machines ask for all the time, and that must always be told.
PROBES = ("/healthz", "/readyz", "/metrics")


class AsyncMiddleware:
    """A middleware that needs no thread. Django's own base class has every request hop to one and back."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer. A subclass's own."""
        raise NotImplementedError
