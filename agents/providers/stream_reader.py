"""What does a model say over one connection, and how does that go wrong?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from functools import partial

import aiohttp

from agents.contract import AgentFailure
from agents.providers.deadline import Deadline
from agents.providers.read_ticker import TICKER
from agents.providers.retry_policy import PASSING, ProviderError, read_retry_after
from agents.providers.stream_accumulator import StreamAccumulator

#: How long the rest of a finished reply may take, in seconds: its usage, and the end of the body, after which
#: the connection can serve another reply. A server that keeps the body open delays a reply's end by so much.
REST_SECONDS = 0.5
#: What a wrong base URL often answers with status 200.
_NOT_A_STREAM = ("text/html", "application/json")


class StreamReader:
    """One answer that is being listened to."""

    def __init__(self, answer: StreamAccumulator, deadline: Deadline) -> None:
        self.answer = answer
        #: What it said first; "" until then, and where it ended without a word.
        self.first_words = ""
        self._deadline = deadline
        self._response: aiohttp.ClientResponse | None = None

    async def begin(self, asking: Awaitable[aiohttp.ClientResponse]) -> None:
        """Ask, and read to the first words. Raises AgentFailure; a Failed one where asking again may help."""
        self._response = response = await self._deadline.wait(asking)
        _check_answer(response)
        # By itself aiohttp asks its parser and the connection to go on with each chunk that is taken out of the buffer.
        # Now it does when the buffer is empty.
        response.content._low_water = 1
        self._deadline.watch(response.close)
        while self.answer.finish_reason is None and not self.first_words:
            self.first_words = await self.more()
        if self.first_words:
            self._deadline.spoke()

    def pause_until_tick(self) -> None:
        """Hear nothing until the next beat: what the model says until then waits in the kernel, and is read at once.

        It is the transport that pauses: aiohttp's own pausing leaves its parser where it was.
        """
        assert self._response is not None
        connection = self._response.connection
        transport = connection.transport if connection is not None else None
        if transport is None or transport.is_closing():
            return  # All of it has come.
        transport.pause_reading()
        TICKER.call(partial(_resume, transport))

    async def more(self) -> str:
        """What the model says next; "" where that was not a word. Raises AgentFailure."""
        answer = self.answer
        if answer.failure:
            raise ProviderError(answer.failure, reason="stream", passes=answer.failure_is_passing)
        assert self._response is not None
        content = self._response.content
        try:
            chunk = await content.readany()
        except (aiohttp.ClientError, OSError) as error:
            # What came before the connection failed was said; aiohttp keeps it, but gives nobody any more of it.
            chunk = content._read_nowait(-1)
            if not chunk:
                raise self._deadline.disconnected(error) from None
        if not chunk:
            raise self._deadline.disconnected()
        events = answer.events
        text = answer.feed(chunk)
        if answer.events > events:
            self._deadline.renew()
        return text

    async def read_rest(self) -> None:
        """Read what follows the end, where it comes soon."""
        self._deadline.cancel()
        assert self._response is not None
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(REST_SECONDS):
                while chunk := await self._response.content.readany():
                    self.answer.feed(chunk)

    def close(self) -> None:
        """Listen no more: the connection is closed, unless the answer was read to its end."""
        self._deadline.cancel()
        if self._response is not None:
            self._response.close()


def _resume(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.resume_reading()


def _check_answer(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        raise ProviderError(
            f"it answered with status {response.status}",
            reason="status",
            passes=response.status in PASSING,
            status=response.status,
            after=read_retry_after(response.headers.get("Retry-After")),
        )
    if response.content_type in _NOT_A_STREAM:
        raise AgentFailure(f"it answered with {response.content_type}, not with a stream of events")
