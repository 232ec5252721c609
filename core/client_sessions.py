"""Over which connections does a process ask other servers over HTTP?

Two sessions, so two pools of connections: one to the models of this installation,
whose addresses are its operator's, and one to those of tenants, each connection of which is checked
(core/outbound.py). They belong to the event loop that first asks for them.
"""

from __future__ import annotations

import asyncio

import aiohttp

from core import outbound

_sessions: dict[tuple[asyncio.AbstractEventLoop, bool], aiohttp.ClientSession] = {}


def session(*, checked: bool = False) -> aiohttp.ClientSession:
    """A session of the running event loop, made on first use; `checked`, to an address that a tenant named."""
    key = asyncio.get_running_loop(), checked
    if key not in _sessions:
        _sessions[key] = outbound.session() if checked else _trusting()
    return _sessions[key]


async def close() -> None:
    """Close the running loop's sessions and their connections; the next use makes new ones."""
    for checked in (False, True):
        if open_session := _sessions.pop((asyncio.get_running_loop(), checked), None):
            await open_session.close()


def _trusting() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # As many connections as replies run; how many those are is limited elsewhere.
        connector=aiohttp.TCPConnector(limit=0),
        # One tenant's cookies must not reach another's model.
        cookie_jar=aiohttp.DummyCookieJar(),
    )
