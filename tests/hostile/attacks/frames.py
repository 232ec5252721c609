"""H3: WebSocket frames, of those who were refused and of those who were let in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tests.hostile.strike import EVERYWHERE, ONE, Strike, attack
from tests.hostile.wire import CLOSE, CONTINUATION, PING, PONG, TEXT, Connection, frame

MIB = 2**20
TOTAL = 18 * MIB
#: Written at once: some 11,000 of the smallest frames.
WRITE = 64 * 1024

Open = Callable[[], contextlib.AbstractAsyncContextManager[Connection]]


def many(one: bytes) -> bytes:
    return one * (WRITE // len(one))


async def flood(strike: Strike, open_socket: Open, data: bytes) -> None:
    """As many frames as TOTAL holds; of a harmless client as many bytes in a few of 60 KB, on a socket that is open."""
    if strike.harmless:
        text = b'{"action": "ping", "text": "' + b"x" * 60_000 + b'"}'
        sent = await strike.flood(lambda: strike.chat("roomy"), frame(TEXT, text), TOTAL)
    else:
        sent = await strike.flood(open_socket, data, TOTAL)
    strike.note(f"{sent / MIB:.0f} MiB taken")


@attack("pongs after a refusal", "H3", on=EVERYWHERE, quick=True)
async def pongs_after_a_refusal(strike: Strike) -> None:
    """18 MiB of pongs, six bytes each, on a socket that was told 4401."""
    await flood(strike, strike.refused_socket, many(frame(PONG)))


@attack("pings after a refusal", "H3", on=ONE)
async def pings_after_a_refusal(strike: Strike) -> None:
    await flood(strike, strike.refused_socket, many(frame(PING)))


@attack("frames after a refusal", "H3")
async def frames_after_a_refusal(strike: Strike) -> None:
    await flood(strike, strike.refused_socket, many(frame(TEXT, b"{}")))


@attack("garbage after a refusal", "H3", on=ONE)
async def garbage_after_a_refusal(strike: Strike) -> None:
    await flood(strike, strike.refused_socket, b"\xff" * WRITE)


@attack("pongs of a visitor", "H3")
async def pongs_of_a_visitor(strike: Strike) -> None:
    await flood(strike, strike.visit, many(frame(PONG)))


@attack("pings of a visitor", "H3")
async def pings_of_a_visitor(strike: Strike) -> None:
    await flood(strike, strike.visit, many(frame(PING, b"x")))


@attack("tiny frames", "H3")
async def tiny_frames(strike: Strike) -> None:
    await flood(strike, lambda: strike.chat("acme"), many(frame(TEXT, b"{}")))


@attack("empty frames", "H3", on=ONE)
async def empty_frames(strike: Strike) -> None:
    await flood(strike, lambda: strike.chat("acme"), many(frame(TEXT)))


@attack("tiny fragments", "H3", quick=True)
async def tiny_fragments(strike: Strike) -> None:
    """A message in fragments of one byte, that never ends."""

    @contextlib.asynccontextmanager
    async def begun():  # type: ignore[no-untyped-def]
        async with strike.chat("acme") as socket:
            await socket.send(frame(TEXT, b'"', last=False))
            yield socket

    await flood(strike, begun, many(frame(CONTINUATION, b"x", last=False)))


@attack("empty fragments", "H3", on=ONE)
async def empty_fragments(strike: Strike) -> None:
    """As many fragments as they like, which never become a byte too many."""

    @contextlib.asynccontextmanager
    async def begun():  # type: ignore[no-untyped-def]
        async with strike.chat("acme") as socket:
            await socket.send(frame(TEXT, last=False))
            yield socket

    await flood(strike, begun, many(frame(CONTINUATION, last=False)))


@attack("closes", "H3", on=ONE)
async def closes(strike: Strike) -> None:
    """Close after close: nothing is read after the first."""
    await flood(strike, strike.visit, many(frame(CLOSE, b"\x03\xe8")))


@attack("open and close", "H3")
async def open_and_close(strike: Strike) -> None:
    """Handshakes that are left at once, from twenty at a time."""

    async def one() -> None:
        while strike.left > 4:
            with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError):
                async with asyncio.timeout(2), await strike.connect() as socket:
                    if strike.harmless:
                        await socket.request("GET", "/healthz")
                    else:
                        await socket.upgrade()
            await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(20)))


@attack("large frames", "H3", on=ONE)
async def large_frames(strike: Strike) -> None:
    """Frames of almost 1 MiB that are no message, from five sockets at once."""
    data = frame(TEXT, b'{"content": "' + (b"x" if strike.harmless else b"\\u0f81") * 160_000 + b'"}')

    async def one() -> None:
        with contextlib.suppress(OSError, EOFError, ValueError):
            await strike.flood(lambda: strike.chat("acme"), data, 15 * len(data))

    await asyncio.gather(*(one() for _ in range(5)))


@attack("announced but never sent", "H3", on=ONE)
async def announced(strike: Strike) -> None:
    """Frames whose heads promise a MiB, from forty sockets; of a harmless client the MiB comes."""
    head = frame(TEXT, b"x" * (MIB - 1))
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(40):
            if strike.left < 2:
                break
            socket = await stack.enter_async_context(strike.chat("roomy"))
            await socket.send(head if strike.harmless else head[: len(head) // 2])
        await asyncio.sleep(1)
