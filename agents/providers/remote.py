"""How does a model that is asked over HTTP answer?

What all wires have in common: the asking, the waiting, the asking again, and the end. A wire is a subclass with
the body of its question and the reader of its events.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any, ClassVar

import aiohttp
import orjson

from agents.contract import AgentFailure, End, Event, Request, Text, Usage
from agents.prompts import told_characters
from agents.providers.deadline import Deadline, Timeouts
from agents.providers.retry_policy import ProviderError, RetryPolicy
from agents.providers.stream_accumulator import StreamAccumulator
from agents.providers.stream_reader import StreamReader
from core import client_sessions

logger = logging.getLogger(__name__)

#: What a server answers to tools it does not know.
_NO_TOOLS = (400, 422)


class RemoteAgent(ABC):
    """A model behind an address.

    `name` is its server's name for it. `is_checked` says that the address is a tenant's. `retries` is how often it is
    asked again before its first token.
    """

    is_model = True
    #: How its models are written before the colon, what stands behind the base URL, and the reader of an answer.
    prefix: ClassVar[str]
    path: ClassVar[str]
    wire: ClassVar[type[StreamAccumulator]]

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        api_key: str,
        timeouts: Timeouts,
        retries: int = 2,
        is_checked: bool = False,
    ) -> None:
        self.model = f"{self.prefix}:{name}"
        self._name = name
        self._url = _join(base_url.rstrip("/"), self.path)
        # Compressed, tokens would come in lumps.
        always = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
        self._headers = {**always, **self.headers(api_key)}
        self._timeouts = timeouts
        self._retries = retries
        self._is_checked = is_checked

    @abstractmethod
    def headers(self, api_key: str) -> Mapping[str, str]:
        """The headers of the wire; "" is no key."""

    @abstractmethod
    def body(self, request: Request) -> dict[str, Any]:
        """The question as the wire puts it."""

    async def reply(self, request: Request) -> AsyncGenerator[Event, None]:
        """One reply, as it comes. Closing the generator closes the connection.

        Raises AgentFailure, for a reply without a word as well.
        """
        reader = await self._ask_until_first_text(request)
        answer = reader.answer
        try:
            if text := reader.first_words:
                yield Text(text)
                while answer.finish_reason is None:
                    reader.pause_until_tick()
                    if text := await reader.more():
                        yield Text(text)
            calls = answer.calls
            if not (reader.first_words or calls or answer.finish_reason == "content_filter"):
                raise AgentFailure("it finished without a word", reason="silent")
            await reader.read_rest()
        finally:
            reader.close()
        for call in calls:
            yield call
        if answer.usage:
            yield answer.usage
        yield End(answer.finish_reason or "stop")

    def estimate(self, request: Request, said: str) -> Usage:
        """A token for each four characters of what the model was told and of what it said."""
        return Usage(_tokens(told_characters(request)), _tokens(len(said)))

    async def _ask_until_first_text(self, request: Request) -> StreamReader:
        """An answer that has begun, or ended without a word. What fails before that is asked again."""
        deadline = Deadline(self._timeouts, most=request.limits.seconds)
        retries = RetryPolicy(self._retries)
        while True:
            reader = StreamReader(self.wire(), deadline)
            try:
                await reader.begin(self._post(request))
                return reader
            except ProviderError as failure:
                reader.close()
                if failure.status in _NO_TOOLS and request.tools and not request.exchanges:
                    logger.warning("%s may not know tools: it is asked again without them", self.model)
                    request = replace(request, tools=())
                    continue
                pause = retries.pause(failure, left=deadline.left)
                if pause is None:
                    raise
                logger.info("%s is asked again in %.1f s: %s", self.model, pause, failure)
            except BaseException:
                reader.close()
                raise
            await asyncio.sleep(pause)

    async def _post(self, request: Request) -> aiohttp.ClientResponse:
        return await client_sessions.session(checked=self._is_checked).post(
            self._url,
            # A file, which aiohttp sends in parts: a long history must not hold up the event loop.
            data=BytesIO(orjson.dumps(self.body(request))),
            headers=self._headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect),
        )


def _join(base: str, path: str) -> str:
    """The address to ask at. Whether its version belongs to the base is a matter of taste."""
    return base + (path.removeprefix("/v1") if base.endswith("/v1") else path)


def _tokens(characters: int) -> int:
    return max(1, characters // 4) if characters else 0
