"""Whose address is it, as far as bounds are concerned, and may it be bounded?"""

from __future__ import annotations

import ipaddress
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from core.observability import logs

logger = logging.getLogger(__name__)

#: Where lexicon/http/proxies.py leaves the address of the connection's other end, whatever a proxy said of it.
PEER = "lexicon.peer"
#: What a proxy adds to a request. X-Forwarded-For alone is believed, and that of TRUSTED_PROXIES only.
PROXY_HEADERS = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via")
#: Seconds between two lines about proxies that are not trusted.
LINE_EVERY = 3600.0

_PROXY_HEADERS = {name.lower().encode() for name in PROXY_HEADERS}
_logged_at = float("-inf")


def network_of(address: str) -> str:
    """What bounds count as one caller: an IPv4 address, or the /64 network of an IPv6 address.

    A /64 is what one customer of an IPv6 provider has (RFC 6177). An IPv4 address that is mapped into IPv6 is itself;
    what is no address (a socket's path, say) is its first 64 characters.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)


def bounded_network(scope: Mapping[str, Any]) -> str | None:
    """The network that the bounds of an address count this ASGI scope by; None where nobody can tell whose it is.

    That is so where a private or loopback address connects, speaks for others (`PROXY_HEADERS`), and was not believed:
    everybody behind it would be counted as one. It is logged as an error, once an hour and process.
    """
    client = scope.get("client")
    if not client:
        return None
    address = str(client[0])
    believed = PEER in scope and scope[PEER] is not client
    if not believed and _is_private(address) and any(name.lower() in _PROXY_HEADERS for name, _ in scope["headers"]):
        _log_untrusted(address)
        return None
    return network_of(address)


def scope_of(request: HttpRequest) -> Mapping[str, Any]:
    """The ASGI scope of a request; an empty one, with nothing to bound, where no ASGI server brought it."""
    return getattr(request, "scope", {})


def network_id(network: str) -> uuid.UUID:
    """What a network is called where it is kept: keyed by SECRET_KEY, so that nobody reads addresses there."""
    return uuid.UUID(bytes=salted_hmac("lexicon.network", network, algorithm="sha256").digest()[:16])


def _is_private(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return True  # No address of the internet's: a socket in the file system, say.
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return not (mapped or parsed).is_global


def _log_untrusted(address: str) -> None:
    global _logged_at
    now = time.monotonic()
    if now - _logged_at < LINE_EVERY:
        return
    _logged_at = now
    logger.error(
        "a proxy is not believed what it says of addresses: name it in TRUSTED_PROXIES, and let it send "
        "X-Forwarded-For; until then nobody who comes through it is bounded by address",
        extra=logs.fields(address=address),
    )
