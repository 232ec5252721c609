"""Clients of the service, as an integrator would write them, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

import websockets

#: How long a test waits for something that should happen at once: a deadline, not a measure.
SOON = 15.0

T = TypeVar("T")


async def eventually(condition: Callable[[], Awaitable[T]], seconds: float = 60.0) -> T:
    """What `condition` answers, once that is true: for what only another process's database row tells."""
    async with asyncio.timeout(seconds):
        while not (answer := await condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return answer


class Socket:
    """A WebSocket on `/ws/chat` that remembers all it was sent."""

    opened: ClassVar[list[Socket]] = []

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []

    @classmethod
    async def open(
        cls, url: str, *, headers: dict[str, str] | None = None, path: str = "/ws/chat", **query: str
    ) -> Socket:
        address = url + path + ("?" + urlencode(query) if query else "")
        connection = await websockets.connect(
            address, additional_headers=headers, max_size=None, max_queue=None, compression=None, proxy=None
        )
        socket = cls(connection)
        cls.opened.append(socket)
        return socket

    @classmethod
    async def close_all(cls) -> None:
        """Close what a test left open."""
        while cls.opened:
            await cls.opened.pop().close()

    async def send(self, frame: Any) -> None:
        """Send a frame: a dict as JSON, text and bytes as they are."""
        await self.connection.send(json.dumps(frame) if isinstance(frame, dict | list) else frame)

    async def next(self) -> dict[str, Any]:
        """The next event, whatever it is."""
        async with asyncio.timeout(SOON):
            event = json.loads(await self.connection.recv())
        self.events.append(event)
        return event

    async def until(self, event_type: str, **fields: Any) -> dict[str, Any]:
        """Read on until an event of this type (with these fields) comes."""
        while True:
            event = await self.next()
            if event["event_type"] == event_type and all(event.get(name) == value for name, value in fields.items()):
                return event

    async def closed(self) -> tuple[int, str]:
        """Read to the end: the close code and reason."""
        async with asyncio.timeout(SOON):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    self.events.append(json.loads(await self.connection.recv()))
        assert self.connection.close_code is not None
        return self.connection.close_code, self.connection.close_reason or ""

    async def say(self, content: str, **fields: Any) -> dict[str, Any]:
        """Send a message and read to the end of its reply: the ended event."""
        await self.send({"content": content, **fields})
        received = await self.until("message_received", content=content)
        return await self.until("message_stream_ended", reply_to=received["message_id"])

    async def quiet(self) -> list[dict[str, Any]]:
        """All events the server had sent by now: a ping is answered after them."""
        count = len(self.events)
        await self.send({"action": "ping"})
        await self.until("pong")
        return self.events[count:-1]

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event_type"] == event_type]

    def folded(self) -> str:
        """What a client written from the documents shows at the end: the tokens since the last start, in one piece."""
        said = ""
        for event in self.events:
            if event["event_type"] == "message_stream_started":
                said = ""
            elif event["event_type"] == "message_stream_token":
                assert event["offset"] == len(said)
                said += event["token"]
        return said

    async def close(self) -> None:
        await self.connection.close()

    async def __aenter__(self) -> Socket:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def read_sse(body: bytes) -> list[tuple[int, Any]]:
    """The events of an SSE body as (id, data), held byte for byte against the contract's frame."""
    events = []
    for block in body.decode().split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        if not lines:
            continue
        assert len(lines) == 2, block
        assert lines[0].startswith("id: "), block
        assert lines[1].startswith("data: "), block
        data = lines[1].removeprefix("data: ")
        events.append((int(lines[0].removeprefix("id: ")), data if data == "[DONE]" else json.loads(data)))
    return events


def script(**directives: Any) -> str:
    """A message that tells the scripted model what to do (tests/support/model_server.py)."""
    return json.dumps(directives)
