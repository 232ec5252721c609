"""Drives the printed ChatWebSocketClient, in place of its usage lines."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

from chat_websocket_client import ChatWebSocketClient

CONFIG = json.loads(sys.argv[1])
MESSAGES = CONFIG["messages"]


class Watched(ChatWebSocketClient):
    def __init__(self, user_id: str) -> None:
        super().__init__(CONFIG["key"], user_id, CONFIG["chat"])
        self.greeted = self.spoken_to = False
        self.started = 0
        self.received: list[str] = []
        self.replies: list[dict[str, str]] = []
        self.changed = asyncio.Condition()
        self.listening: asyncio.Task[None] | None = None

    async def handle_event(self, event: dict[str, Any]) -> None:
        await super().handle_event(event)
        match event["event_type"]:
            case "connection_established":
                self.greeted = True
            case "message_received":
                self.received.append(event["content"])
            case "message_stream_started":
                self.started += 1
            case "message_stream_token":
                self.spoken_to = True
            case "message_stream_ended":
                self.replies.append({"shown": self.current_response, "content": event["content"]})
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with self.changed:
            await self.changed.wait_for(condition)

    async def open(self) -> Watched:
        self.greeted = self.spoken_to = False
        self.listening = asyncio.create_task(self.connect())
        await self.until(lambda: self.greeted)
        return self

    async def close(self) -> None:
        await self.disconnect()
        assert self.listening is not None
        await self.listening

    async def answers(self, count: int) -> None:
        await self.until(lambda: len(self.replies) == count)


async def release() -> None:
    request = urllib.request.Request(CONFIG["release"], method="POST")
    await asyncio.to_thread(lambda: urllib.request.urlopen(request).close())


async def talk() -> list[Watched]:
    client = await Watched("alice").open()
    for index, message in enumerate(MESSAGES):
        await client.send_message(*message)
        await client.answers(index + 1)
    await client.close()
    return [client]


async def join_late() -> list[Watched]:
    first = await Watched("alice").open()
    await first.send_message(*MESSAGES[0])
    await first.until(lambda: first.spoken_to)
    late = await Watched("bob").open()
    await late.until(lambda: late.spoken_to)
    await release()
    await asyncio.gather(first.answers(1), late.answers(1))
    return [first, late]


async def reconnect() -> list[Watched]:
    client = await Watched("alice").open()
    await client.send_message(*MESSAGES[0])
    await client.until(lambda: client.spoken_to)
    await client.close()
    await client.open()
    await client.until(lambda: client.spoken_to)
    await release()
    await client.answers(1)
    return [client]


async def together() -> list[Watched]:
    clients = [await Watched("alice").open(), await Watched("bob").open()]
    for client, message in zip(clients, MESSAGES, strict=True):
        await client.send_message(*message)
    await asyncio.gather(*(client.answers(2) for client in clients))
    return clients


async def refused() -> list[Watched]:
    client = Watched("alice")
    await client.connect()
    return [client]


def main() -> None:
    scenario = {run.__name__: run for run in (talk, join_late, reconnect, together, refused)}[CONFIG["scenario"]]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        clients = asyncio.run(scenario())
    json.dump(
        {
            "clients": [
                {name: getattr(client, name) for name in ("received", "started", "replies")} for client in clients
            ],
            "printed": printed.getvalue(),
        },
        sys.stdout,
    )


main()
