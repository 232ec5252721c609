"""Which proxy is believed what it says of a client?

One of TRUSTED_PROXIES: then the scope's `client` is the address in X-Forwarded-For, and its scheme that of
X-Forwarded-Proto. This stands here, not among uvicorn's options, because bounds must know whether a proxy was believed
(core/addresses.py), and so that it holds under every ASGI server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from core.addresses import PEER


class TrustedProxies:
    """An ASGI application in which `client` is the client, with the connection's other end kept beside it."""

    def __init__(self, application: Any, trusted: Sequence[str]) -> None:
        # "*" as uvicorn writes it, for an address of any kind.
        self._application = ProxyHeadersMiddleware(application, list(trusted))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request or handshake on."""
        if scope["type"] != "lifespan":
            scope[PEER] = scope.get("client")
        await self._application(scope, receive, send)
