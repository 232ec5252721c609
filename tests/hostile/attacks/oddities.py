"""H9: requests that no client sends. Whatever they are answered, it is no error of the service's."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

from tests.hostile.strike import Strike, attack, prose
from tests.hostile.wire import Connection

CHAT = str(uuid.UUID(int=1))
#: Every address there is, with something in place of what names a row.
PATHS = (
    *("/", "/chat", "/widget.js", f"/widget/{CHAT}", "/healthz", "/metrics", "/admin/", "/admin/login/"),
    *("/api/schema", "/api/docs", "/api/asyncapi.yaml", "/static/lexicon/page.js", "/nowhere", "/ws/chat"),
    *("/api/v1/chats/", "/api/v1/chats/user/alice", f"/api/v1/chats/{CHAT}/", f"/api/v1/chats/{CHAT}/messages/"),
    *(f"/api/v1/chats/{CHAT}/tokens", f"/api/v1/chats/{CHAT}/messages/{CHAT}", "/api/v1/customer/conversations"),
    *(f"/api/v1/customer/conversations/{CHAT}/messages", f"/api/v1/customer/conversations/{CHAT}/stream"),
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "LEXICON")
QUERIES = (
    "&".join(f"a{number}=1" for number in range(1_001)),
    "&" * 3_000,
    "limit=%00&offset=%ff&status=%C0%AF&assignee=%F0%9F",
    "limit=" + "9" * 2_000,
    "api_key=&token=&after=-1&user_id=%ED%A0%80",
    "a[]=1&a[b][c]=2&" + "%" * 500,
)
HEADERS = (
    {"Host": "attacker.example"},
    {"Host": ""},
    {"Host": "127.0.0.1:99999999"},
    {"Host": "[::1"},
    {"X-Request-ID": "x" * 4_000},
    {"X-Forwarded-For": "1.1.1.1, " * 500},
    {"X-Forwarded-For": "not an address", "Forwarded": 'for="_x";' * 200},
    {"Cookie": "a=b; " * 1_000},
    {"Cookie": "sessionid=" + "x" * 4_000 + "; lexicon_visitor=:::; csrftoken=\udcff"},
    {"Accept": "text/html;q=" + "9" * 1_000},
    {"Accept-Language": "en-" * 1_000},
    {"Accept-Encoding": "gzip;q=1e9, " * 300},
    {"Range": "bytes=" + "0-1," * 1_000},
    {"If-Modified-Since": "Mon, 99 Xxx 99999 99:99:99 GMT"},
    {"If-None-Match": '"' * 4_000},
    {"Authorization": "Bearer " + "é" * 500},
    {"Authorization": "Basic " + "A" * 4_000},
    {"Content-Type": "application/json; charset=utf-7"},
    {"Content-Type": "multipart/form-data"},
    {"Content-Type": "x" * 4_000},
    {"Content-Length": "0", "Expect": "100-continue"},
    {"Idempotency-Key": "\udcff" * 255},
    {"Last-Event-ID": "9" * 4_000},
    {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAA"},
    {"Transfer-Encoding": "identity"},
)


async def _ask(strike: Strike, method: str, path: str, headers: dict[str, str]) -> None:
    if strike.left <= 1:
        return
    key = strike.cast["roomy"]["tenant_key" if "customer" not in path else "customer_key"]
    known = {"Authorization": f"Bearer {key}"} if "customer" in path else {"X-API-Key": key}
    if strike.harmless:
        size = min(3_000, len(path) + sum(map(len, headers.values())))
        method, path, headers = "GET", "/healthz", {"X-Pad": prose(size)}
    said = f"{method} {path[:50]} {str(headers)[:50]}"
    try:
        async with asyncio.timeout(4), await strike.connect() as connection:
            answer = await connection.request(method, path, {**known, **headers})
    except TimeoutError:
        strike.require(False, f"{said}: no answer")
        return
    except (OSError, EOFError, ValueError, IndexError):
        return  # nginx, or the server, cut it.
    strike.require(answer.status < 500 or answer.status == 501, f"{said}: {answer.status}")
    if method == "TRACE":
        strike.require(answer.status in (400, 404, 405), f"{said}: {answer.status}")
    if path.startswith("/api/v1/") and answer.status >= 400 and method != "HEAD":
        # nginx has answers of its own to what is no HTTP.
        is_own = "x-request-id" in answer.headers
        strike.require(not is_own or "json" in answer.headers.get("content-type", ""), f"{said}: not JSON")


@attack("odd requests", "H9", quick=True, seconds=30)
async def odd_requests(strike: Strike) -> None:
    """Every method, query and header of the lists, to every address."""
    asked: list[tuple[str, str, dict[str, str]]] = [(method, path, {}) for method in METHODS for path in PATHS]
    asked += [("GET", f"{path}?{query}", {}) for path in PATHS for query in QUERIES]
    asked += [("GET", path, headers) for path in PATHS for headers in HEADERS]
    room = asyncio.Semaphore(10)

    async def one(method: str, path: str, headers: dict[str, str]) -> None:
        async with room:
            await _ask(strike, method, path, headers)

    await asyncio.gather(*(one(*each) for each in asked))


@attack("a foreign name", "H9", on=("sqlite", "sqlite-nginx"), seconds=8)
async def a_foreign_name(strike: Strike) -> None:
    """A page of another name that leads to this machine reads neither pages nor figures, nor opens a socket."""
    if strike.harmless:
        for _ in range(7):
            await strike.ask("GET", "/healthz")
        return
    for path in ("/", "/metrics", "/admin/login/", "/api/docs", "/api/v1/chats/", "/widget.js"):
        async with await strike.connect() as connection:
            answer = await connection.request("GET", path, {"Host": "rebound.example"})
        strike.require(400 <= answer.status < 500, f"{path} under a foreign name: {answer.status}")
    async with await strike.connect() as connection:
        foreign = Connection(connection.reader, connection.writer, "rebound.example")
        with contextlib.suppress(EOFError):
            if await foreign.upgrade() == 101:
                event = await foreign.event()
                strike.require(event["event_type"] == "error", "a socket under a foreign name is opened")


@attack("redirects that are too long", "H9", on=("sqlite-nginx", "workers-nginx"))
async def redirects_that_are_too_long(strike: Strike) -> None:
    """Redirects repeat the query, quoted. Where a head is longer than nginx takes, it counts the process as failed."""
    for size in (1_000, 2_000, 3_900, 4_100, 7_500):
        for path in ("/admin/?", "/admin?", "/admin/nowhere?", "/admin/login?next=", "/admin/logout/?", "/chat/?"):
            query = ("&" if size % 2_000 else "x") * (size - len(path))
            for _ in range(3):
                answer = await strike.ask("GET", "/healthz" if strike.harmless else path + query)
                strike.require(answer.status < 500, f"{path} with {size} bytes: {answer.status}")
