"""How does a client ask one question and hear the reply, over each wire that is measured?

A line is what one client holds: a WebSocket, or the address it posts to. One question at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import orjson

from benchmarks.running import Lexicon, Other


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply as a client heard it."""

    text: str
    #: Seconds from the question to the first token.
    first: float


class Line(Protocol):
    """One client."""

    async def ask(self, question: str) -> Heard:
        """The reply to the question."""
        ...

    async def close(self) -> None:
        """The client leaves."""
        ...


class SocketLine:
    """A WebSocket of Lexicon's."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def ask(self, question: str) -> Heard:
        """The reply to the question."""
        said, first = [], 0.0
        asked = time.perf_counter()
        await self._socket.send_str(orjson.dumps({"content": question}).decode())
        while True:
            event = orjson.loads(await self._socket.receive_str())
            kind = event["event_type"]
            if kind == "message_stream_token":
                first = first or time.perf_counter() - asked
                said.append(event["token"])
            elif kind == "error":
                raise RuntimeError(event)
            elif kind == "message_stream_ended":
                return Heard("".join(said), first)

    async def close(self) -> None:
        """The client leaves."""
        await self._socket.close()


class EventLine:
    """An address that answers a POST with a stream of events. `text_of` says what an event says."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        headers: dict[str, str],
        body_of: Callable[[str], dict[str, Any]],
        text_of: Callable[[Any], str],
    ) -> None:
        self._session = session
        self._url = url
        self._headers = {"Content-Type": "application/json", **headers}
        self._body_of = body_of
        self._text_of = text_of

    async def ask(self, question: str) -> Heard:
        """The reply to the question."""
        said, first = [], 0.0
        asked = time.perf_counter()
        body = orjson.dumps(self._body_of(question))
        async with self._session.post(self._url, data=body, headers=self._headers) as response:
            if response.status != 200:
                raise RuntimeError(f"{self._url}: {response.status} {await response.text()}")
            async for line in response.content:
                data = line.removeprefix(b"data: ").strip()
                if not line.startswith(b"data: ") or data == b"[DONE]":
                    continue
                if text := self._text_of(orjson.loads(data)):
                    first = first or time.perf_counter() - asked
                    said.append(text)
        return Heard("".join(said), first)

    async def close(self) -> None:
        """The client leaves."""


async def lexicon_sockets(session: aiohttp.ClientSession, lexicon: Lexicon, count: int) -> list[Line]:
    """So many chats, each with a WebSocket that has been greeted."""
    headers = {"X-API-Key": lexicon.api_key}
    lines: list[Line] = []
    for _ in range(count):
        async with session.post(
            f"{lexicon.server.http}/api/v1/chats/", json={"user_id": "bench"}, headers=headers
        ) as answer:
            chat = (await answer.json())["id"]
        address = f"{lexicon.server.ws}/ws/chat?user_id=bench&chat_id={chat}"
        socket = await session.ws_connect(address, headers=headers, compress=0)
        await socket.receive_str()
        lines.append(SocketLine(socket))
    return lines


async def lexicon_events(session: aiohttp.ClientSession, lexicon: Lexicon, count: int) -> list[Line]:
    """So many conversations of the customer API."""
    headers = {"Authorization": f"Bearer {lexicon.customer_key}"}
    url = f"{lexicon.server.http}/api/v1/customer/conversations"
    lines: list[Line] = []
    for _ in range(count):
        async with session.post(url, headers=headers) as answer:
            conversation = (await answer.json())["conversationId"]
        lines.append(
            EventLine(
                session,
                f"{url}/{conversation}/messages",
                headers=headers,
                body_of=lambda question: {"message": question},
                text_of=lambda event: event.get("text", ""),
            )
        )
    return lines


async def fastapi_events(session: aiohttp.ClientSession, other: Other, count: int) -> list[Line]:
    """So many clients of the hand-written relay."""
    return [
        EventLine(
            session,
            f"{other.address}/chat",
            headers={},
            body_of=lambda question: {"message": question},
            text_of=lambda event: event["text"],
        )
        for _ in range(count)
    ]


async def openai_events(session: aiohttp.ClientSession, other: Other, count: int) -> list[Line]:
    """So many clients of whoever speaks as OpenAI does: the LiteLLM proxy, and the model itself."""
    return [
        EventLine(
            session,
            f"{other.address}/v1/chat/completions",
            headers={"Authorization": f"Bearer {other.key}"},
            body_of=lambda question: {
                "model": "bench",
                "messages": [{"role": "user", "content": question}],
                "stream": True,
                "stream_options": {"include_usage": True},
            },
            text_of=_openai_text,
        )
        for _ in range(count)
    ]


def _openai_text(event: Any) -> str:
    choices = event["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""
