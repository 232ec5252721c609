"""H4: heads, bodies and connections that have no end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from tests.hostile.strike import EVERYWHERE, ONE, Strike, attack, prose
from tests.hostile.wire import Connection, handshake, request

MIB = 2**20
#: How much longer than the service says a connection may stay open, in seconds: the machine is busy.
LEEWAY = 2.0
#: What takes bodies, known keys or not.
BODIES = ("/healthz", "/", "/chat", "/admin/login/", "/metrics", "/api/v1/chats/", "/api/v1/customer/conversations")


async def pour(strike: Strike, connection: Connection, chunk: bytes, total: int) -> int:
    """Send the chunk over and over until the other end has left, or takes no more; how many bytes that took."""
    sent = 0
    with contextlib.suppress(OSError, TimeoutError):
        while sent < total and strike.left > 0 and not connection.is_closed:
            async with asyncio.timeout(max(0.1, min(2.0, strike.left))):
                await connection.send(chunk)
            sent += len(chunk)
            await asyncio.sleep(0)
    return sent


async def post(strike: Strike, size: int) -> None:
    """A body of so many bytes, as large as may be each."""
    each = 500_000
    for _ in range(0, size, each):
        if strike.left <= 0:
            return
        with contextlib.suppress(OSError, EOFError):
            await strike.ask("POST", "/api/v1/chats/", json={"user_id": prose(each)}, X_API_Key=_key(strike))


def _key(strike: Strike) -> str:
    return str(strike.cast["roomy"]["tenant_key"])


async def _head_without_end(strike: Strike, chunk: bytes) -> None:
    total = 64 * MIB
    if strike.harmless:
        await post(strike, total)
        return
    async with await strike.connect() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
        sent = await pour(strike, connection, chunk, total)
    strike.note(f"{sent / MIB:.1f} MiB taken")
    # What lies in the buffers between was not read. nginx reads on and throws it away, so that its 400 arrives.
    strike.require(strike.order.through_nginx or sent < 8 * MIB, f"{sent / MIB:.0f} MiB of a head were taken")


@attack("one header without an end", "H4", on=EVERYWHERE, quick=True)
async def one_header_without_an_end(strike: Strike) -> None:
    await _head_without_end(strike, b"x" * 65_536)


@attack("headers without an end", "H4", on=ONE)
async def headers_without_an_end(strike: Strike) -> None:
    await _head_without_end(strike, b"\r\nX-Many: y" * 6_000)


@attack("a request line without an end", "H4", on=ONE)
async def a_request_line_without_an_end(strike: Strike) -> None:
    total = 64 * MIB
    if strike.harmless:
        await post(strike, total)
        return
    async with await strike.connect() as connection:
        await connection.send(b"GET /")
        sent = await pour(strike, connection, b"a" * 65_536, total)
    strike.require(sent < 8 * MIB, f"{sent / MIB:.0f} MiB of a request line were taken")


@attack("bodies without an end", "H4", quick=True, seconds=12)
async def bodies_without_an_end(strike: Strike) -> None:
    """Chunked, 100 MiB in all, to addresses that want none of it."""
    total = 100 * MIB
    if strike.harmless:
        await post(strike, total)
        return

    async def one(path: str) -> None:
        async with await strike.connect() as connection:
            headers = {"Host": connection.host, "Transfer-Encoding": "chunked", "Content-Type": "application/json"}
            await connection.send(request("POST", path, headers))
            chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
            sent = await pour(strike, connection, chunk, total // len(BODIES))
            # The server reads the bound and MOST_AFTER_CLOSE (lexicon/server/slow_clients.py), the kernel buffers the
            # rest.
            strike.require(sent < 16 * MIB, f"{path}: {sent / MIB:.0f} MiB of a body were taken")

    await asyncio.gather(*(one(path) for path in BODIES))


@attack("a body of tiny chunks", "H4", on=ONE)
async def a_body_of_tiny_chunks(strike: Strike) -> None:
    """One byte each, with an extension: twenty bytes of work for each."""
    if strike.harmless:
        await post(strike, 12 * MIB)
        return
    async with await strike.connect() as connection:
        headers = {"Host": connection.host, "Transfer-Encoding": "chunked", "Content-Type": "application/json"}
        await connection.send(request("POST", "/api/v1/chats/", {**headers, "X-API-Key": _key(strike)}))
        await pour(strike, connection, b"1;extension=x\r\nx\r\n" * 4_000, 12 * MIB)


async def _drip(strike: Strike, connection: Connection, first: bytes, drop: bytes, seconds: float) -> bool:
    """Send a drop each half second; whether the other end left within that time."""
    with contextlib.suppress(OSError):
        await connection.send(first)
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            if await connection.is_cut(min(0.5, left)):
                return True
            await connection.send(drop)
        return False
    return True


@attack("heads that drip", "H4", quick=True, seconds=20)
async def heads_that_drip(strike: Strike) -> None:
    """Two hundred connections send a header's byte now and then."""
    patience = float(strike.order.timers["HEAD_SECONDS"]) + LEEWAY
    if strike.harmless:
        await asyncio.gather(*(strike.ask("GET", "/healthz") for _ in range(200)))
        return
    connections = await asyncio.gather(*(strike.connect() for _ in range(200)))
    cut = await asyncio.gather(
        *(_drip(strike, one, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"x", patience) for one in connections)
    )
    for one in connections:
        one.close()
    strike.note(f"{sum(cut)} of {len(cut)} cut")
    strike.require(all(cut), f"{len(cut) - sum(cut)} of {len(cut)} heads may take longer than {patience:.0f} s")


@attack("silent bodies", "H4", seconds=20)
async def silent_bodies(strike: Strike) -> None:
    """Two hundred connections announce a body, and send nothing of it."""
    patience = float(strike.order.timers["BODY_SECONDS"]) + LEEWAY
    if strike.harmless:
        await asyncio.gather(*(strike.ask("GET", "/healthz") for _ in range(200)))
        return
    connections = await asyncio.gather(*(strike.connect() for _ in range(200)))
    head = request(
        "POST", "/api/v1/chats/", {"Host": "x", "Content-Length": "1000", "Content-Type": "application/json"}
    )

    async def one(connection: Connection) -> bool:
        with contextlib.suppress(OSError):
            await connection.send(head)
            return await connection.is_cut(patience)
        return True

    cut = await asyncio.gather(*map(one, connections))
    for connection in connections:
        connection.close()
    strike.note(f"{sum(cut)} of {len(cut)} cut")
    strike.require(all(cut), f"{len(cut) - sum(cut)} of {len(cut)} bodies may be silent longer than {patience:.0f} s")


@attack("half-open", "H4", quick=True, seconds=25)
async def half_open(strike: Strike) -> None:
    """1,500 connections that say nothing; another caller is answered meanwhile, and they are closed after a while."""
    patience = float(strike.order.timers["HEAD_SECONDS"]) + LEEWAY
    if strike.harmless:
        for _ in range(30):
            await asyncio.gather(*(strike.ask("GET", "/healthz") for _ in range(50)))
        return
    connections: list[Connection] = []
    for _ in range(30):
        opened = await asyncio.gather(*(strike.connect() for _ in range(50)), return_exceptions=True)
        connections += [one for one in opened if isinstance(one, Connection)]
    strike.note(f"{len(connections)} opened")
    await _answers_others(strike)
    cut = await asyncio.gather(*(one.is_cut(patience) for one in connections))
    for one in connections:
        one.close()
    strike.require(
        all(cut), f"{len(cut) - sum(cut)} of {len(cut)} silent connections stay longer than {patience:.0f} s"
    )


async def _answers_others(strike: Strike, address: int = 200) -> None:
    """Somebody else's new connection is answered."""
    try:
        async with asyncio.timeout(2):
            answer = await strike.ask("GET", "/healthz", address=strike.elsewhere(address))
        strike.require(answer.status == 200, f"somebody else was answered {answer.status}")
    except (OSError, EOFError, TimeoutError) as error:
        strike.require(False, f"somebody else was not answered: {type(error).__name__}")


@attack("more connections than files", "H4", on=("sqlite",), quick=True, files=200, seconds=15)
async def more_connections_than_files(strike: Strike) -> None:
    """250 idle connections where the server may open 200 files: others are answered all the same."""
    if strike.harmless:
        for _ in range(250):
            await strike.ask("GET", "/healthz")
        return
    connections: list[Connection] = []
    for _ in range(250):
        with contextlib.suppress(OSError):
            connections.append(await strike.connect())
    await asyncio.sleep(0.5)
    for number in range(5):
        await _answers_others(strike, 200 + number)
    for one in connections:
        one.close()


@attack("connections that were used and stay", "H4", on=ONE, files=200, seconds=20)
async def used_and_idle(strike: Strike) -> None:
    """The same, but each has asked for something first, and is kept alive."""
    if strike.harmless:
        for _ in range(250):
            await strike.ask("GET", "/healthz")
        return
    connections: list[Connection] = []
    for _ in range(250):
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(1):
                connection = await strike.connect()
                connections.append(connection)
                await connection.request("GET", "/healthz")
        if strike.left < 3:
            break
    for number in range(5):
        await _answers_others(strike, 200 + number)
    for one in connections:
        one.close()


@attack("a long handshake", "H4", seconds=15)
async def a_long_handshake(strike: Strike) -> None:
    """Requests for a WebSocket whose lines and headers are longer than usual are answered: something."""
    for size in (4_000, 8_100, 8_300, 16_000, 40_000, 60_000):
        size = 100 if strike.harmless else size
        for path, header in ((f"/ws/chat?api_key={'x' * size}", "short"), ("/ws/chat", "x" * size)):
            async with await strike.connect() as connection:
                try:
                    async with asyncio.timeout(1):
                        await connection.send(handshake(connection.host, path, **{"X-API-Key": header}))
                        answer = await connection.answer()
                    strike.require(answer.status < 500, f"a handshake of {size} bytes: {answer.status}")
                except (OSError, EOFError):
                    # What is far too long may be cut.
                    strike.require(size > 30_000, f"a handshake of {size} bytes is cut")
                except TimeoutError:
                    strike.require(False, f"a handshake of {size} bytes is never answered")


GARBAGE = (
    b"\0" * 4_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 600,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x12\x04\0\0\0\0\0" * 100,
    b"GET / HTTP/9.9\r\n\r\n",
    b"\r\n" * 30_000,
    b"GET\t/\tHTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET http://[:::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff\xfe\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%00%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\xff: \xff\r\n\r\n",
)


@attack("garbage", "H4", quick=True)
async def garbage(strike: Strike) -> None:
    """What is no HTTP, over and over, from many connections; and a TLS handshake."""

    async def one(data: bytes) -> None:
        for _ in range(20):
            if strike.left < 1:
                return
            with contextlib.suppress(OSError, EOFError, ValueError, IndexError, TimeoutError):
                async with asyncio.timeout(1), await strike.connect() as connection:
                    if strike.harmless:
                        await connection.request("GET", "/healthz", {"X-Pad": prose(min(len(data), 3_000))})
                    else:
                        await connection.send(data)
                        answer = await connection.answer()
                        strike.require(answer.status != 500, f"{data[:30]!r}: 500")

    await asyncio.gather(*map(one, GARBAGE))
    if not strike.harmless:
        context = ssl.create_default_context()
        with contextlib.suppress(OSError, TimeoutError, EOFError):
            async with asyncio.timeout(1):
                await asyncio.open_connection("127.0.0.1", strike.order.ports[0], ssl=context)


@attack("pipelines", "H4", seconds=10)
async def pipelines(strike: Strike) -> None:
    """Thousands of requests in one write, none of whose answers is read, on ten connections."""
    path = "/static/lexicon/lexicon-client.js"

    async def one() -> None:
        async with await strike.connect() as connection:
            one_request = request("GET", path, {"Host": connection.host})
            with contextlib.suppress(TimeoutError, OSError, EOFError):
                async with asyncio.timeout(4):
                    if strike.harmless:
                        for _ in range(50):
                            await connection.request("GET", path)
                    else:
                        await connection.send(one_request * 3_000)
                        await asyncio.sleep(3)

    await asyncio.gather(*(one() for _ in range(10)))


@attack("never read", "H4", seconds=12)
async def never_read(strike: Strike) -> None:
    """A hundred visitors ask for pages, scripts and streams, and read nothing of them."""
    paths = ("/", "/api/schema", "/api/docs", "/static/lexicon/page.js", "/widget.js", "/admin/login/")

    async def one(number: int) -> None:
        path = paths[number % len(paths)]
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with await strike.connect() as connection:
                if strike.harmless:
                    await connection.request("GET", path)
                else:
                    await connection.send(request("GET", path, {"Host": connection.host}) * 20)
                    await asyncio.sleep(3)

    await asyncio.gather(*(one(number) for number in range(100)))
