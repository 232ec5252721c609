"""What do bystanders notice? `python -m tests.hostile.watch '<a Watched as JSON>'`

A process of its own, so that neither the attacker nor the service holds it up. It asks each address of the
installation, as another tenant than those that are attacked through, over connections that are open before the attack:
`/healthz` every 50 ms, a WebSocket ping every 50 ms, a chat message and a new chat every half second. Beside that it
reads from /proc what the server's processes hold.

It prints `ready`, and for each line `begin` that it is given `begun`, for each `end` a Figures as JSON, once all that
was asked before was answered, 30 s later at the latest.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import websockets

from tests.hostile import memory
from tests.hostile.figures import WAITS, Figures

#: Seconds between two requests, two pings, two messages, and two looks at /proc.
REQUEST_EVERY, PING_EVERY, MESSAGE_EVERY, LOOK_EVERY = 0.05, 0.05, 0.5, 0.05
#: How many things are waited for at each port.
WAITS_EACH = 5
#: How long an answer is waited for when the attack is over, in seconds.
PATIENCE = 30.0
#: No question is asked three times: the built-in agent would call a person.
QUESTIONS = tuple(
    f"{ask} {about}?"
    for ask in ("What do you know about", "Can you tell me more about", "How does it work with", "What if I want")
    for about in ("refunds", "tracking my order", "shipping", "an invoice", "the warranty", "exchanges", "my account")
)


@dataclass
class Watched:
    """What is watched, and as whom."""

    #: Ports on 127.0.0.1.
    ports: list[int]
    tenant_key: str
    pids: list[int]
    #: Where these processes put temporary files.
    temporary: str


class Wait:
    """How long was one thing waited for at the most?"""

    def __init__(self) -> None:
        self.longest = 0.0
        self.since: float | None = None
        #: How often it came.
        self.count = 0

    def ask(self) -> None:
        """Something is waited for from now on, if not already."""
        if self.since is None:
            self.since = time.monotonic()

    def answered(self) -> None:
        if self.since is not None:
            self.longest = max(self.longest, time.monotonic() - self.since)
            self.since = None
            self.count += 1

    def begin(self) -> None:
        """Forget what was."""
        self.longest = 0.0
        if self.since is not None:
            self.since = time.monotonic()

    def until_now(self) -> float:
        return max(self.longest, time.monotonic() - self.since if self.since is not None else 0.0)


class Watch:
    """All bystanders, and what they saw since `begin`."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.waits: list[tuple[str, Wait]] = []
        self.figures = Figures()
        self._held = 0
        self._names = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []

    def wait_for(self, name: str) -> Wait:
        wait = Wait()
        self.waits.append((name, wait))
        return wait

    def trouble(self, text: str) -> None:
        """A bystander was refused, or cut."""
        if text not in self.figures.problems:
            self.figures.problems.append(text)

    # --- What the parent asks ---

    async def start(self) -> None:
        """Begin to ask, and wait until all was answered once."""
        for port in self.watched.ports:
            self._spawn(self._poll(port))
            self._spawn(self._open_chats(port))
            pinged, spoken = await self._join(port), await self._join(port)
            self._spawn(self._on(pinged, self._ping))
            self._spawn(self._on(spoken, self._talk))
        self._spawn(self._look())
        self._spawn(self._be_late())
        while len(self.waits) < WAITS_EACH * len(self.watched.ports) or not all(wait.count for _, wait in self.waits):
            self._check_all_are_there()
            await asyncio.sleep(0.02)

    def begin(self) -> None:
        self.figures = Figures()
        for _, wait in self.waits:
            wait.begin()
        self._held = self._holds()

    async def end(self) -> Figures:
        """What was seen since `begin`."""
        ended = time.monotonic()
        while time.monotonic() - ended < PATIENCE:
            if not any(wait.since is not None and wait.since < ended for _, wait in self.waits):
                break
            await asyncio.sleep(0.02)
        figures = self.figures
        figures.silences = {
            name: max((wait.until_now() for other, wait in self.waits if other == name), default=0.0) for name in WAITS
        }
        self._check_all_are_there()
        return figures

    def _check_all_are_there(self) -> None:
        """Who is gone waits for nothing any more, and would be taken for somebody who never has to."""
        for task in self._tasks:
            if task.done():
                task.result()
                self.trouble("a bystander is gone")

    def _spawn(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    # --- Bystanders ---

    async def _poll(self, port: int) -> None:
        wait = self.wait_for("healthz")
        request = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        async for status in self._requests(port, request, wait, REQUEST_EVERY):
            if status != 200:
                self.trouble(f"/healthz answered {status}")

    async def _open_chats(self, port: int) -> None:
        wait = self.wait_for("ack")
        body = b'{"user_id": "bob"}'
        request = (
            f"POST /api/v1/chats/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {self.watched.tenant_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        async for status in self._requests(port, request, wait, MESSAGE_EVERY):
            if status != 201:
                self.trouble(f"a new chat was answered {status}")

    async def _requests(self, port: int, request: bytes, wait: Wait, every: float) -> Any:
        """The status of one request after the other, over one connection as long as it is kept."""
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while True:
            wait.ask()
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                status, is_kept = await _read_answer(reader)
            except (OSError, EOFError, ValueError, IndexError):
                # The server may close a connection that it kept; whether it takes a new one is the question.
                if writer is not None:
                    writer.close()
                reader = writer = None
                await asyncio.sleep(0.01)
                continue
            wait.answered()
            yield status
            if not is_kept:
                writer.close()
                reader = writer = None
            await asyncio.sleep(every)

    async def _join(self, port: int) -> websockets.ClientConnection:
        """A WebSocket on a new chat, greeted."""
        chat_id = await asyncio.to_thread(self._new_chat, port)
        query = urlencode({"api_key": self.watched.tenant_key, "user_id": "alice", "chat_id": chat_id})
        connection = await websockets.connect(
            f"ws://127.0.0.1:{port}/ws/chat?{query}", compression=None, proxy=None, ping_interval=None, max_queue=None
        )
        greeting = json.loads(await connection.recv())
        assert greeting["event_type"] == "connection_established", greeting
        return connection

    def _new_chat(self, port: int) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"X-API-Key": self.watched.tenant_key, "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/chats/", body='{"user_id": "alice"}', headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 201, body
        return str(json.loads(body)["id"])

    async def _on(self, connection: websockets.ClientConnection, work: Any) -> None:
        """What a bystander does on a WebSocket, until it is cut, which is trouble."""
        waits: list[Wait] = []
        try:
            await work(connection, waits)
        except websockets.ConnectionClosed as error:
            self.trouble(f"a bystander was cut: {error}")
            for wait in waits:
                wait.answered()

    async def _ping(self, connection: websockets.ClientConnection, waits: list[Wait]) -> None:
        wait = self.wait_for("pong")
        waits.append(wait)
        while True:
            wait.ask()
            await (await connection.ping())
            wait.answered()
            await asyncio.sleep(PING_EVERY)

    async def _talk(self, connection: websockets.ClientConnection, waits: list[Wait]) -> None:
        acknowledged, begun = self.wait_for("ack"), self.wait_for("first token")
        waits += [acknowledged, begun]
        questions = itertools.cycle(QUESTIONS)
        while True:
            acknowledged.ask()
            await connection.send(json.dumps({"content": next(questions)}))
            while True:
                event = json.loads(await connection.recv())
                match event["event_type"]:
                    case "message_received":
                        acknowledged.answered()
                        begun.ask()
                    case "message_stream_token":
                        begun.answered()
                    case "message_stream_ended":
                        begun.answered()
                        break
                    case "error":
                        self.trouble(f"a bystander's message was answered {event['error_code']}")
                        await asyncio.sleep(0.1)
                        if acknowledged.since is not None:
                            break
                    case "chat_status_changed":
                        raise AssertionError(f"the bystander's chat is {event['status']}")
            await asyncio.sleep(MESSAGE_EVERY)

    # --- The processes ---

    def _holds(self) -> int:
        pids = self.watched.pids
        return sum(map(memory.resident, pids)) + memory.temporary_files(pids, self.watched.temporary)

    async def _look(self) -> None:
        while True:
            self.figures.memory = max(self.figures.memory, self._holds() - self._held)
            children = memory.children_of(self.watched.pids)
            self.figures.children = max(self.figures.children, sum(map(memory.resident, children)))
            await asyncio.sleep(LOOK_EVERY)

    async def _be_late(self) -> None:
        while True:
            due = time.monotonic() + 0.02
            await asyncio.sleep(0.02)
            self.figures.late = max(self.figures.late, time.monotonic() - due)


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of an answer, and whether the connection is kept."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(headers.get("content-length", 0)))
    return int(lines[0].split()[1]), headers.get("connection") != "close"


async def main(watched: Watched) -> None:
    watch = Watch(watched)
    await watch.start()
    print("ready", flush=True)
    for line in iter_lines():
        match (await line).strip():
            case "begin":
                watch.begin()
                print("begun", flush=True)
            case "end":
                print(json.dumps(dataclasses.asdict(await watch.end())), flush=True)
            case _:
                return


def iter_lines() -> Iterator[Any]:
    """What is read from standard input, line by line, without holding up the event loop."""
    while True:
        yield asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        # They are never the ones who wait for a core.
        os.nice(-5)
    asyncio.run(main(Watched(**json.loads(sys.argv[1]))))
