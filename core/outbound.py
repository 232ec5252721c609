"""Where may this server connect to, when somebody else names the address?

A caller that names an address may name one that only this server reaches: itself, its neighbours, the cloud's
metadata. So an address is looked at twice: as it is written, and again as it was resolved for the very
connection that is opened, so that a name that changes its mind meanwhile gains nothing. The bytes go to
the address that was checked; Host header and certificate stay those of the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings
from yarl import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Ports of https that a tenant's server may listen on; any other reaches what was never meant for strangers.
PORTS = (443, 8443)
#: Longest address, in characters: reading one normalises its host, which takes the square of the time.
MOST_CHARACTERS = 2048

#: What the internet routes (RFC 4291, section 2.4). Outside of it lie the mapped, translated (64:ff9b::/96),
#: link-local and private addresses of IPv6, and multicast.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
#: 6to4 (RFC 3056) wraps an IPv4 address, any of them.
_WRAPPED = ipaddress.ip_network("2002::/16")


class Forbidden(Exception):
    """An address this server does not connect to. Its text says why, and goes well after the address."""


def check_url(text: str) -> URL:
    """The address, if it may be one to connect to as far as its text tells; no name is looked up.

    Raises Forbidden.
    """
    if len(text) > MOST_CHARACTERS:
        raise Forbidden(f"is longer than {MOST_CHARACTERS} characters")
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError:
        raise Forbidden("is not an address") from None
    if url.scheme not in ("https", "http"):
        raise Forbidden("must begin with https://")
    if not host:
        raise Forbidden("names no host")
    if url.raw_user is not None or url.raw_password is not None:
        raise Forbidden("must not hold a user or a password")
    listed = _is_listed(host)
    if (literal := _literal(host)) is not None and not listed and not _is_public(literal):
        raise Forbidden("is not on the public internet")
    if url.scheme != "https" and not listed:
        raise Forbidden("must begin with https://")
    if port not in PORTS and not listed:
        raise Forbidden(f"must use port {' or '.join(map(str, PORTS))}")
    return url


def session(*, resolver: AbstractResolver | None = None, **options: Any) -> aiohttp.ClientSession:
    """A client whose every connection is checked, redirects' too; such a request raises Forbidden.

    It belongs to the running event loop. `resolver` is who looks names up (default: the system);
    `options` are aiohttp's.
    """
    # No cache of names, no proxy and no .netrc from the environment, no cookie from one host to another.
    connector = CheckedConnector(resolver=CheckedResolver(resolver), use_dns_cache=False, limit=0)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False, **options
    )


class CheckedConnector(aiohttp.TCPConnector):
    """Opens connections to what `check_url` lets pass. An address without a name never meets the resolver."""

    async def connect(self, req: Any, *args: Any, **kwargs: Any) -> Any:
        """A connection. Raises Forbidden."""
        check_url(str(req.url))
        return await super().connect(req, *args, **kwargs)


class CheckedResolver(AbstractResolver):
    """Answers the addresses of a name that has public ones only."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or SystemResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of the name. Raises Forbidden where one of them is not public, whatever the others are."""
        found = await self._inner.resolve(host, port, family)
        if not _is_listed(host):
            for each in found:
                address = ipaddress.ip_address(each["host"])
                if not _is_public(address) and not _is_listed(each["host"]):
                    raise Forbidden("leads to an address that is not on the public internet")
        return found

    async def close(self) -> None:
        """Let go of what looks names up."""
        await self._inner.close()


class SystemResolver(AbstractResolver):
    """Asks the system, in threads of its own: the event loop's few are for names that we chose.

    A name server that never answers holds one for as long as the system waits, and somebody else runs it.
    """

    _threads = ThreadPoolExecutor(16, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of the name. Raises OSError where it has none."""
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found_family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found_family, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """The threads are every session's."""


def _literal(host: str) -> Address | None:
    """The address that the host spells; None for a name.

    Raises Forbidden for what a system's resolver would read as one although it is written otherwise:
    127.1, 2130706433, 0x7f.1, 127.0.0.1. with a dot (WHATWG URL, "ends in a number").
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    last = host.rstrip(".").rpartition(".")[2]
    if ":" in host or re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", last):
        raise Forbidden("is not written as four numbers")
    return None


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address not in _GLOBAL_UNICAST or address in _WRAPPED):
        return False
    return address.is_global and not address.is_multicast


def _is_listed(host: str) -> bool:
    """Whether the operator of this installation allows the host, or the address, by name or by network."""
    name = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in (entry.lower() for entry in settings.OUTBOUND_ALLOW)
    return any(address in network for network in map(_network, settings.OUTBOUND_ALLOW) if network is not None)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        return None
