"""What does an attacker work with?

An attack is a function in tests/hostile/attacks, registered by `@attack`. It is run twice, each time by a process of
its own (tests/hostile/attacker.py): once with as many harmless bytes (`strike.harmless`), and once as it is meant. It
knows the service from outside only, stops by itself, and says what it required in vain.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.hostile.wire import Answer, Connection, multipart

Attack = Callable[["Strike"], Awaitable[None]]

#: The installations (tests/hostile/installation.py) that an attack is put to: both kinds, or all four; one where
#: another attack of its kind is put to more.
ONE = ("sqlite",)
USUAL = ("sqlite", "workers-nginx")
EVERYWHERE = ("sqlite", "sqlite-nginx", "workers", "workers-nginx")


@dataclass(frozen=True)
class Registered:
    """An attack, and how it is put to the service."""

    name: str
    #: Which fault of docs/hostile.md it is.
    fault: str
    run: Attack
    on: tuple[str, ...]
    #: Whether the short form has it.
    quick: bool
    #: Most seconds that it takes.
    seconds: float
    #: Most open files of the server; 0 for as many as there may be.
    files: int


_attacks: dict[str, Registered] = {}


def attack(
    name: str,
    fault: str,
    *,
    on: tuple[str, ...] = USUAL,
    quick: bool = False,
    seconds: float = 8.0,
    files: int = 0,
) -> Callable[[Attack], Attack]:
    """Register what attacks."""

    def register(run: Attack) -> Attack:
        # `--only` lists names with commas between them.
        assert "," not in name, name
        assert name not in _attacks, name
        _attacks[name] = Registered(name, fault, run, on, quick, seconds, files)
        return run

    return register


def attacks() -> dict[str, Registered]:
    """All of them, by name."""
    from tests.hostile.attacks import load

    load()
    return _attacks


@dataclass
class Order:
    """What one process of an attacker is told."""

    attack: str
    harmless: bool
    #: Where the service is entered, on 127.0.0.1: the port of nginx, or of each process.
    ports: list[int]
    through_nginx: bool
    #: Its addresses are those of 127.<network>.0.0/16.
    network: int
    seed: int
    #: Who is there (tests/hostile/cast.py).
    cast: dict[str, Any]
    #: The shortened timers (tests/hostile/installation.py).
    timers: dict[str, str]


@dataclass
class Strike:
    """One run of an attack: who it is, whom it knows, and what it found."""

    order: Order
    seconds: float
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _opened: int = 0
    _began: float = field(default_factory=time.monotonic)

    @property
    def harmless(self) -> bool:
        """Whether this is the control run, which costs as many bytes and no more."""
        return self.order.harmless

    @property
    def cast(self) -> dict[str, Any]:
        return self.order.cast

    @property
    def address(self) -> str:
        """Where the attack comes from."""
        return self.elsewhere(1)

    def elsewhere(self, number: int) -> str:
        """One of a network's addresses; each number is another caller's."""
        return f"127.{self.order.network}.{number >> 8}.{number & 255}"

    @property
    def left(self) -> float:
        """Seconds until it has to stop."""
        return self._began + self.seconds - time.monotonic()

    def require(self, condition: object, text: str) -> None:
        """What must hold under the attack; of the control run nothing is asked."""
        if not condition and not self.harmless:
            self.problems.append(text)

    def note(self, text: str) -> None:
        if not self.harmless:
            self.notes.append(text)

    def either(self, hostile: str) -> str:
        """The text, or as many bytes of harmless prose."""
        return prose(len(hostile.encode())) if self.harmless else hostile

    # --- HTTP ---

    async def connect(self, address: str | None = None) -> Connection:
        """A new connection, to each port in turn."""
        self._opened += 1
        port = self.order.ports[self._opened % len(self.order.ports)]
        return await Connection.open(port, address or self.address)

    async def ask(
        self, method: str, path: str, *, address: str | None = None, json: Any = None, **headers: str
    ) -> Answer:
        """One request over a connection of its own; headers are named with `_` for `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        body = b""
        if json is not None:
            body, given["Content-Type"] = _dumped(json), "application/json"
        async with await self.connect(address) as connection:
            return await connection.request(method, path, given, body)

    async def new_chat(self, actor: str, **fields: Any) -> str:
        """A chat of a tenant's, made by its own backend."""
        key = self.cast[actor]["tenant_key"]
        answer = await self.ask("POST", "/api/v1/chats/", json={"user_id": "mallory", **fields}, X_API_Key=key)
        if answer.status != 201:
            raise ValueError(f"a chat was answered {answer.status}: {answer.text[:200]}")
        return str(answer.json()["id"])

    # --- WebSocket ---

    @contextlib.asynccontextmanager
    async def chat(self, actor: str, **fields: Any) -> AsyncIterator[Connection]:
        """A WebSocket on a new chat of a tenant's, greeted."""
        chat_id = await self.new_chat(actor, **fields)
        async with await self.connect() as socket:
            await socket.upgrade(api_key=self.cast[actor]["tenant_key"], user_id="mallory", chat_id=chat_id)
            await socket.until("connection_established")
            yield socket

    @contextlib.asynccontextmanager
    async def refused_socket(self) -> AsyncIterator[Connection]:
        """A WebSocket of somebody without a key, told so and not yet left."""
        async with await self.connect() as socket:
            if await socket.upgrade() != 101:
                raise ConnectionRefusedError("no handshake any more")
            await socket.until("error")
            yield socket

    @contextlib.asynccontextmanager
    async def visit(self) -> AsyncIterator[Connection]:
        """A WebSocket of a new visitor of the page."""
        browser = Browser(self)
        token = await browser.visit()
        async with await self.connect() as socket:
            await socket.upgrade(**token)
            await socket.until("connection_established")
            yield socket

    async def flood(
        self, open_socket: Callable[[], contextlib.AbstractAsyncContextManager[Connection]], data: bytes, total: int
    ) -> int:
        """Send `data` over and over, so many bytes in all; come back whenever one is cut. How many bytes were taken.

        It ends when its time is over, or where nobody opens any more.
        """
        sent, refusals = 0, 0
        while sent < total and self.left > 0 and refusals < 50:
            try:
                async with asyncio.timeout(self.left), open_socket() as socket:
                    reading = asyncio.create_task(_throw_away(socket))
                    try:
                        while sent < total:
                            await socket.send(data)
                            sent += len(data)
                            if reading.done():
                                refusals += 1
                                break
                            await asyncio.sleep(0)
                    finally:
                        reading.cancel()
            except TimeoutError:
                break
            except (OSError, EOFError, ValueError):
                refusals += 1
            await asyncio.sleep(0.02)
        return sent


async def _throw_away(socket: Connection) -> None:
    """Read what comes, as long as something does."""
    with contextlib.suppress(OSError):
        while await socket.reader.read(2**16):
            pass


class Browser:
    """Somebody at a browser: keeps cookies, and fills in forms."""

    def __init__(self, strike: Strike, address: str | None = None) -> None:
        self.strike = strike
        self.address = address
        self.cookies: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        cookies = (
            {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        )
        async with await self.strike.connect(self.address) as connection:
            answer = await connection.request(method, path, {**cookies, **(headers or {})}, body)
        self.cookies |= answer.cookies
        return answer

    async def visit(self) -> dict[str, str]:
        """Come to the page as a visitor: what opens a WebSocket. Raises ValueError where that is refused."""
        page = await self.ask("GET", "/")
        found = re.search(r'csrf-token" content="(\w+)"', page.text)
        if found is None:
            raise ValueError(f"the page answered {page.status}")
        return await self.visit_again(found[1])

    async def visit_again(self, csrf: str) -> dict[str, str]:
        answer = await self.ask("POST", "/chat", headers={"X-CSRFToken": csrf})
        if answer.status != 200:
            raise ValueError(f"a visit was answered {answer.status}")
        return {"token": answer.json()["token"], "chat_id": answer.json()["chat_id"]}

    async def _csrf(self, path: str) -> str:
        page = await self.ask("GET", path)
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        if found is None:
            raise ValueError(f"{path} answered {page.status} without a form")
        return found[1]

    async def log_in(self, name: str, password: str) -> bool:
        """Whether the admin lets somebody in."""
        path = "/admin/login/?next=/admin/"
        fields = {"csrfmiddlewaretoken": await self._csrf(path), "username": name, "password": password}
        answer = await self.ask(
            "POST", path, urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        )
        return answer.status == 302

    async def bring_in(self, *, file: tuple[str, bytes] | None = None, address: str = "") -> Answer:
        """What the form that imports articles answers."""
        path = "/admin/agents/article/import/"
        fields = {"csrfmiddlewaretoken": await self._csrf(path), "tenant": self.strike.cast["acme"]["id"]}
        kind, body = multipart(fields | {"address": address}, {"file": file} if file else {})
        return await self.ask("POST", path, body, {"Content-Type": kind})


def prose(size: int) -> str:
    """So many bytes of words."""
    words = "how long does it take until my parcel is here and what does it cost to send it back to you "
    return (words * (size // len(words) + 1))[:size]


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
