"""What does the service cost, with the built-in agent? `make bench ARGS="service [chats] [rounds]"`.

One server process on loopback, beside the bare server in the same run; 100 chats and 2 rounds. Idle sockets have a
process of their own.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import websockets

from benchmarks import running
from benchmarks.processes import cpu_seconds, resident_bytes

PACE = "40"
#: In turn: who asks the same again and again is handed to a person.
QUESTIONS = (
    "Hello, how long does shipping take, what does it cost, and can I return a pair of shoes?",
    "Which ways are there to pay, and how do I change my address?",
)


@dataclass
class Figures:
    """What one run saw."""

    tokens: int = 0
    characters: int = 0
    acknowledged: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    wall: float = 0.0
    cpu: float = 0.0

    def report(self, name: str) -> None:
        """Print them."""
        print(f"{name}: {self.tokens} tokens in {self.wall:.1f} s, {self.cpu:.2f} CPU-seconds")
        print(f"  {self.tokens / self.cpu:,.0f} tokens a CPU-second")
        for what, times in (("acknowledged after", self.acknowledged), ("first token after", self.first)):
            if times:
                cuts = statistics.quantiles(times, n=20)
                print(f"  {what} {statistics.median(times) * 1e3:.1f} ms (median), {cuts[18] * 1e3:.1f} ms (95 %)")


async def talk(address: str, headers: dict[str, str], rounds: int, figures: Figures) -> None:
    """One socket: ask, read the reply, ask again."""
    async with websockets.connect(address, additional_headers=headers, compression=None, proxy=None) as socket:
        for number in range(rounds):
            await socket.send(json.dumps({"content": QUESTIONS[number % len(QUESTIONS)]}))
            asked = time.perf_counter()
            first = True
            while True:
                event = json.loads(await socket.recv())
                match event["event_type"]:
                    case "message_received":
                        figures.acknowledged.append(time.perf_counter() - asked)
                    case "message_stream_token":
                        if first:
                            figures.first.append(time.perf_counter() - asked)
                            first = False
                        figures.tokens += 1
                    case "message_stream_ended":
                        break
                    case "chat_status_changed" | "error":
                        raise RuntimeError(f"no reply will come: {event}")


async def measure(
    pid: int, addresses: list[str], headers: dict[str, str], rounds: int, *, at_once: bool = True
) -> Figures:
    """All the sockets at once, or one after the other."""
    figures = Figures()
    before, started = cpu_seconds(pid), time.perf_counter()
    together = len(addresses) if at_once else 1
    for first in range(0, len(addresses), together):
        talking = (talk(address, headers, rounds, figures) for address in addresses[first : first + together])
        await asyncio.gather(*talking)
    figures.wall, figures.cpu = time.perf_counter() - started, cpu_seconds(pid) - before
    return figures


async def idle_memory(pid: int, addresses: list[str], headers: dict[str, str]) -> float:
    """Bytes of memory a silent socket costs: what so many more take than a tenth of them, which bring it all in."""

    async def open_sockets(some: list[str]) -> list[websockets.ClientConnection]:
        sockets = []
        for address in some:
            socket = await websockets.connect(address, additional_headers=headers, compression=None, proxy=None)
            await socket.recv()
            sockets.append(socket)
        return sockets

    first = len(addresses) // 10
    sockets = await open_sockets(addresses[:first])
    before = resident_bytes(pid)
    sockets += await open_sockets(addresses[first:])
    cost = (resident_bytes(pid) - before) / (len(addresses) - first)
    await asyncio.gather(*(socket.close() for socket in sockets))
    return cost


def stored_bytes(database: Path) -> int:
    """What a SQLite database holds, in bytes, wherever it lies: file or log."""
    with closing(sqlite3.connect(database)) as connection:
        pages, size, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size", "freelist_count")
        )
    return (pages - free) * size


def lexicon(chats: int, rounds: int) -> None:
    """The service: SQLite, one process, credits and limits on."""
    with (
        running.new_folder() as folder,
        running.lexicon(
            f"sqlite:///{folder / 'bench.sqlite3'}", folder / "log", articles=True, BUILTIN_WORDS_PER_SECOND=PACE
        ) as own,
    ):
        server, pid, headers = own.server, own.pid, {"X-API-Key": own.api_key}
        print(f"Lexicon: {resident_bytes(pid) / 2**20:.0f} MiB of memory a process that has just started")
        with httpx.Client(base_url=server.http, headers=headers) as client:
            before, started = cpu_seconds(pid), time.perf_counter()
            ids = [
                client.post("/api/v1/chats/", json={"user_id": "bench"}).json()["id"] for _ in range(max(200, chats))
            ]
            wall, cpu = time.perf_counter() - started, cpu_seconds(pid) - before
            print(
                f"REST: {len(ids) / wall:,.0f} chats created a second by one client, "
                f"{cpu / len(ids) * 1e3:.2f} CPU-ms each"
            )
        addresses = [f"{server.ws}/ws/chat?user_id=bench&chat_id={chat}" for chat in ids]
        empty = stored_bytes(folder / "bench.sqlite3")
        asyncio.run(measure(pid, addresses[-10:], headers, 2, at_once=False)).report("Lexicon, one chat at a time")
        asyncio.run(measure(pid, addresses[:chats], headers, rounds)).report(f"Lexicon, {chats} chats at once")
        stored = (stored_bytes(folder / "bench.sqlite3") - empty) / (20 + chats * rounds)
        print(f"Lexicon: {stored / 1024:.1f} KiB of database a question with its reply")
        print(f"Lexicon: {resident_bytes(pid) / 2**20:.0f} MiB of memory the process after all that")


def idle(count: int) -> None:
    """Silent sockets, each on a chat of its own, in a process that has done nothing else and so has none free."""
    with (
        running.new_folder() as folder,
        running.lexicon(f"sqlite:///{folder / 'bench.sqlite3'}", folder / "log") as own,
    ):
        headers = {"X-API-Key": own.api_key}
        with httpx.Client(base_url=own.server.http, headers=headers) as client:
            ids = [client.post("/api/v1/chats/", json={"user_id": "bench"}).json()["id"] for _ in range(count)]
        own.server.terminate()
        own.server.start()
        addresses = [f"{own.server.ws}/ws/chat?user_id=bench&chat_id={chat}" for chat in ids]
        cost = asyncio.run(idle_memory(own.pid, addresses, headers))
        print(f"Lexicon: {cost / 1024:.1f} KiB of memory an idle socket, {count} of them in a process just started")


def bare(chats: int, rounds: int) -> None:
    """The bare server."""
    with running.bare(PACE) as other:
        addresses = [other.address.replace("http", "ws")] * chats
        asyncio.run(measure(other.pid, addresses, {}, rounds)).report(f"bare uvicorn, {chats} sockets at once")


def main(arguments: list[str]) -> None:
    """Print every figure of the service."""
    numbers = [int(argument) for argument in arguments]
    chats, rounds = (numbers + [100, 2][len(numbers) :])[:2]
    lexicon(chats, rounds)
    idle(1000)
    bare(chats, rounds)
