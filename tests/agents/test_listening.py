"""What a model says between two beats is read together, and the connection serves the next reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest
from aiohttp.client_proto import ResponseHandler

from agents.catalog import close_all
from agents.contract import AgentFailure, End, Event, Request, Text
from agents.providers import stream_reader
from agents.providers.openai_compatible import OpenAICompatibleAgent
from tests.agents.test_remote import PATIENT
from tests.support.client import SOON

#: No database decides it.
pytestmark = pytest.mark.once

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(event: str) -> bytes:
    """An event as an HTTP chunk of its own."""
    data = f"data: {event}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def said(text: str) -> bytes:
    return chunk(json.dumps({"choices": [{"delta": {"content": text}}]}))


class Wire:
    """A server whose every write a test decides, so that it arrives as a whole."""

    def __init__(self) -> None:
        self.connections = 0
        self.asked: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self.url = ""
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                writer.write(HEAD + said("first"))
                await self.asked.put(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def asked_by(self) -> asyncio.StreamWriter:
        async with asyncio.timeout(SOON):
            return await self.asked.get()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire()
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield wire
    await close_all()
    server.close()
    async with asyncio.timeout(SOON):
        await asyncio.gather(*wire.serving)


def agent(wire: Wire) -> OpenAICompatibleAgent:
    return OpenAICompatibleAgent(name="m", base_url=wire.url, api_key="", timeouts=PATIENT, retries=0)


async def rest_of(events: AsyncIterator[Event]) -> list[Event]:
    async with asyncio.timeout(SOON):
        return [event async for event in events]


async def test_all_that_came_since_the_last_beat_is_one_text(wire: Wire) -> None:
    async with aclosing(agent(wire).reply(Request("?"))) as events:
        assert await anext(events) == Text("first")
        writer = await wire.asked_by()
        writer.write(b"".join(said(f" {number}") for number in range(16)) + chunk("[DONE]") + b"0\r\n\r\n")
        assert await rest_of(events) == [Text("".join(f" {number}" for number in range(16))), End("stop")]


async def test_all_that_came_before_a_cut_is_said(wire: Wire) -> None:
    async with aclosing(agent(wire).reply(Request("?"))) as events:
        assert await anext(events) == Text("first")
        writer = await wire.asked_by()
        writer.write(b"".join(said(f" {number}") for number in range(16)))
        writer.close()
        assert await anext(events) == Text("".join(f" {number}" for number in range(16)))
        with pytest.raises(AgentFailure) as failure:
            await anext(events)
        assert failure.value.reason == "connection"


class BeatByHand:
    """A beat that comes when the test says so."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []

    def call(self, listener: Callable[[], None]) -> None:
        self.listeners.append(listener)

    def come(self) -> None:
        listeners, self.listeners = self.listeners, []
        for listener in listeners:
            listener()


async def test_what_comes_between_two_beats_wakes_nobody_and_is_read_at_once(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = BeatByHand()
    monkeypatch.setattr(stream_reader, "TICKER", beat)
    resumed: list[None] = []
    resume = ResponseHandler.resume_reading

    def count(self: ResponseHandler, *given: bool) -> None:
        resumed.append(None)
        resume(self, *given)

    async with aclosing(agent(wire).reply(Request("?"))) as events:
        assert await anext(events) == Text("first")
        writer = await wire.asked_by()
        listening = asyncio.create_task(anext(events))
        async with asyncio.timeout(SOON):
            while not beat.listeners:  # noqa: ASYNC110
                await asyncio.sleep(0)
        for number in range(16):
            writer.write(said(f" {number}"))
            await asyncio.sleep(0.001)
        assert not listening.done()

        monkeypatch.setattr(ResponseHandler, "resume_reading", count)
        beat.come()
        async with asyncio.timeout(SOON):
            assert await listening == Text("".join(f" {number}" for number in range(16)))
        # By itself aiohttp would go on with each of the chunks.
        assert len(resumed) == 1


async def test_the_next_reply_uses_the_same_connection(wire: Wire) -> None:
    for _ in range(3):
        async with aclosing(agent(wire).reply(Request("?"))) as events:
            assert await anext(events) == Text("first")
            (await wire.asked_by()).write(said(" last") + chunk("[DONE]") + b"0\r\n\r\n")
            assert await rest_of(events) == [Text(" last"), End("stop")]
    assert wire.connections == 1


async def test_a_reply_that_is_given_up_between_two_beats_holds_up_none_that_follows(wire: Wire) -> None:
    async def listen() -> None:
        async with aclosing(agent(wire).reply(Request("?"))) as events:
            await anext(events)
            await anext(events)

    listening = asyncio.create_task(listen())
    given_up = await wire.asked_by()
    listening.cancel()
    await asyncio.wait([listening])
    async with asyncio.timeout(SOON):
        await given_up.wait_closed()
    async with aclosing(agent(wire).reply(Request("?"))) as events:
        assert await anext(events) == Text("first")
        (await wire.asked_by()).write(chunk("[DONE]") + b"0\r\n\r\n")
        assert await rest_of(events) == [End("stop")]
