"""H5: very many requests, visitors and sockets, of one who has no key."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import string
import zlib
from collections import Counter

from tests.hostile.strike import ONE, Browser, Strike, attack
from tests.hostile.wire import Connection, handshake, request

#: Strangers that are looked up in a minute: STRANGERS_PER_MINUTE is 600 by default, and a few are under way.
LOOKED_UP = 650
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def unknown_key(prefix: str) -> str:
    """A key that has the form of one (its checksum is right), and that nobody was ever given."""
    begin = prefix + "".join(secrets.choice(BASE62) for _ in range(30))
    number, digits = zlib.crc32(begin.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return begin + digits.rjust(6, "0")


async def spray(strike: Strike, count: int, connections: int, make: object) -> Counter[int]:
    """Send so many requests over so many connections, in batches; how often each status came."""
    statuses: Counter[int] = Counter()
    left = count

    async def one() -> None:
        nonlocal left
        while left > 0 and strike.left > 0.5:
            with contextlib.suppress(OSError, EOFError, ValueError):
                async with await strike.connect() as connection:
                    while left > 0 and strike.left > 0.5:
                        left -= 1
                        await connection.send(make(connection))  # type: ignore[operator]
                        answer = await connection.answer()
                        statuses[answer.status] += 1
                        if answer.headers.get("connection") == "close":
                            break

    await asyncio.gather(*(one() for _ in range(connections)))
    return statuses


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))


@attack("unknown keys", "H5", quick=True)
async def unknown_keys(strike: Strike) -> None:
    """10,000 requests with keys that are well formed, on both faces; a valid key from there is not refused for it."""
    number = 0

    def make(connection: Connection) -> bytes:
        nonlocal number
        number += 1
        headers = {"Host": connection.host, "Content-Length": "0"}
        if strike.harmless:
            return request("GET", "/healthz", {**headers, "X-Pad": "x" * 40})
        if number % 2:
            return request("GET", "/api/v1/chats/", {**headers, "X-API-Key": unknown_key("lxt_")})
        key = unknown_key("lxc_")
        return request("POST", "/api/v1/customer/conversations", {**headers, "Authorization": f"Bearer {key}"})

    statuses = await spray(strike, 10_000, 40, make)
    strike.note(_told(statuses))
    strike.require(statuses.total() > LOOKED_UP, f"only {statuses.total()} were answered")
    strike.require(statuses[401] <= LOOKED_UP, f"{statuses[401]} of them were looked up")
    answer = await strike.ask("GET", "/api/v1/chats/", X_API_Key=strike.cast["roomy"]["tenant_key"])
    strike.require(answer.status == 200, f"a valid key from there was answered {answer.status}")


@attack("handshakes with unknown keys", "H5", quick=True, seconds=10)
async def handshakes_with_unknown_keys(strike: Strike) -> None:
    """Each is accepted, told why not, and closed, and the next one comes; a valid key from there is let in."""
    refused: Counter[str] = Counter()

    async def one() -> None:
        while strike.left > 4:
            with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError):
                async with asyncio.timeout(3), await strike.connect() as socket:
                    if strike.harmless:
                        await socket.request("GET", "/healthz")
                        continue
                    query = f"api_key={unknown_key('lxt_')}&user_id=mallory&chat_id=x"
                    await socket.send(handshake(socket.host, f"/ws/chat?{query}"))
                    if (answer := await socket.answer()).status != 101:
                        refused[str(answer.status)] += 1
                        continue
                    refused[(await socket.until("error"))["error_code"]] += 1

    await asyncio.gather(*(one() for _ in range(20)))
    strike.note(", ".join(f"{count} × {how}" for how, count in refused.items()))
    strike.require(refused, "none was answered")
    strike.require(refused["AUTH_ERROR"] <= LOOKED_UP, f"{refused['AUTH_ERROR']} of them were looked up")
    is_in = False
    with contextlib.suppress(EOFError, TimeoutError):
        async with asyncio.timeout(3), strike.chat("roomy"):
            is_in = True
    # nginx counts the handshakes of an address whatever they hold.
    strike.require(is_in or strike.order.through_nginx, "a valid key from there is not let in")


@attack("bad tokens", "H5", on=ONE)
async def bad_tokens(strike: Strike) -> None:
    """Chat tokens that nobody signed: long, packed, and cut."""
    shapes = ("x" * 100, "." + "A" * 4_000, "a:b:c", ":".join("a" * 2_000), "eyJ" + "A" * 6_000 + ":1:x", "é" * 1_000)

    async def one() -> None:
        number = 0
        while strike.left > 4:
            number += 1
            with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError):
                async with asyncio.timeout(3), await strike.connect() as socket:
                    if strike.harmless:
                        await socket.request("GET", "/healthz", {"X-Pad": "x" * len(shapes[number % len(shapes)])})
                    else:
                        await socket.upgrade(token=shapes[number % len(shapes)])
                        await socket.until("error")

    await asyncio.gather(*(one() for _ in range(20)))


@attack("visitors", "H5", quick=True, seconds=20)
async def visitors(strike: Strike) -> None:
    """From one address 300 visitors, 400 messages and 60 sockets: the tenant's own backend still connects."""
    if strike.harmless:
        await _one_visitor(strike)
        return
    statuses: Counter[str] = Counter()
    tokens: list[dict[str, str]] = []

    async def some(count: int) -> None:
        for _ in range(count):
            if strike.left < 7:
                return
            try:
                tokens.append(await Browser(strike).visit())
                statuses["new"] += 1
            except (OSError, EOFError, ValueError) as error:
                statuses[str(error)[-3:]] += 1

    await asyncio.gather(*(some(15) for _ in range(20)))
    strike.note(f"{statuses['new']} of {sum(statuses.values())} visitors")
    strike.require(0 < statuses["new"] <= 60, f"{statuses['new']} visitors of one address")
    async with contextlib.AsyncExitStack() as stack:
        sockets = []
        for token in tokens[:60]:
            socket = await stack.enter_async_context(await strike.connect())
            with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError):
                async with asyncio.timeout(1):
                    if await socket.upgrade(**token) == 101:
                        await socket.until("connection_established")
                        sockets.append(socket)
        strike.note(f"{len(sockets)} sockets")
        strike.require(0 < len(sockets) <= 20, f"{len(sockets)} sockets of visitors of one address")
        accepted = await _talk(strike, sockets)
        strike.note(f"{accepted} messages")
        strike.require(0 < accepted <= 60, f"{accepted} messages of visitors of one address in a minute")
        await _backend_connects(strike)


async def _one_visitor(strike: Strike) -> None:
    browser = Browser(strike)
    await browser.visit()
    for _ in range(20):
        await asyncio.gather(*(browser.ask("GET", "/") for _ in range(10)))
        await asyncio.sleep(0.05)


async def _talk(strike: Strike, sockets: list[Connection]) -> int:
    """Send 400 messages; how many were acknowledged."""
    accepted = 0

    async def one(socket: Connection) -> None:
        nonlocal accepted
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(3):
                for number in range(400 // len(sockets)):
                    await socket.say("hello", client_message_id=f"m{number}")
                while True:
                    event = await socket.until("message_received", "error")
                    accepted += event["event_type"] == "message_received"

    await asyncio.gather(*map(one, sockets))
    return accepted


async def _backend_connects(strike: Strike) -> None:
    key, backend = strike.cast["acme"]["tenant_key"], strike.elsewhere(250)
    answer = await strike.ask("POST", "/api/v1/chats/", address=backend, json={"user_id": "alice"}, X_API_Key=key)
    strike.require(answer.status == 201, f"the tenant's own backend was answered {answer.status}")
    if answer.status != 201:
        return
    async with await strike.connect(backend) as socket:
        await socket.upgrade(api_key=key, user_id="alice", chat_id=answer.json()["id"])
        event = await socket.until("connection_established", "error")
        strike.require(
            event["event_type"] == "connection_established",
            f"the tenant's own backend is refused: {event.get('error_code')}",
        )


@attack("the page over and over", "H5", seconds=6)
async def the_page(strike: Strike) -> None:
    """What anybody may ask for: the page, its files, the documents, the widget, what is not there."""
    paths = ("/", "/static/lexicon/page.js", "/api/schema", "/api/docs", "/widget.js", "/nowhere", "/admin/login/")
    number = 0

    def make(connection: Connection) -> bytes:
        nonlocal number
        number += 1
        path = "/healthz" if strike.harmless else paths[number % len(paths)]
        return request("GET", path, {"Host": connection.host})

    statuses = await spray(strike, 5_000, 40, make)
    strike.note(_told(statuses))
    strike.require(statuses, "none was answered")
    strike.require(not any(status >= 500 for status in statuses), f"answered {_told(statuses)}")
