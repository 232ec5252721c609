"""Over which connections do backends reach their models?

One session, so one pool of connections, for all backends of a process. It belongs to the event loop
that first asks for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a model may take, in seconds, each more than zero."""

    #: Until there is a connection to it.
    connect: float
    #: From the question to the first token; counted anew at each sign that the model is thinking.
    first_token: float
    #: From one token to the next.
    gap: float
    #: For the whole reply.
    total: float


_sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}


def session() -> aiohttp.ClientSession:
    """The session of the running event loop, made on first use."""
    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        _sessions[loop] = aiohttp.ClientSession(
            # As many connections as replies run; how many those are is limited elsewhere.
            connector=aiohttp.TCPConnector(limit=0),
            # One tenant's cookies must not reach another's model.
            cookie_jar=aiohttp.DummyCookieJar(),
        )
    return _sessions[loop]


async def close() -> None:
    """Close the running loop's session and its connections; the next use makes a new one."""
    if open_session := _sessions.pop(asyncio.get_running_loop(), None):
        await open_session.close()
