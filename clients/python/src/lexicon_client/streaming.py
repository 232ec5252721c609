"""How is a message said over the customer API, and its reply read to the end whatever happens on the way?

The steps are one class without a network (`_Reading`), and two thin ones that carry them out.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from lexicon_client import calls
from lexicon_client.backoff import Backoff
from lexicon_client.errors import AgentError
from lexicon_client.failure import LexiconError
from lexicon_client.sse import SseParser
from lexicon_client.text import Text, Token
from lexicon_client.transport import AsyncTransport, Transport, refusal, wait_after

#: The service breaks its silence every 15 seconds.
_TIMEOUT = httpx.Timeout(15, read=60)


class _Reading:
    """A reply as it is read.

    What was cut goes on by `/stream`; where that has nothing any more the reply has ended, and the same POST
    again is told the stored one.
    """

    def __init__(self, conversation_id: str, message: str, idempotency_key: str | None, attempts: int) -> None:
        self._conversation_id = conversation_id
        self._message = message
        self._backoff = Backoff(attempts)
        self._text = Text()
        self._parser = SseParser()
        self._last_event_id: str | None = None
        self._problem: str | None = None
        #: Whether the next request is the POST, and whether the reply is known to have ended.
        self._posting = True
        self._settled = False
        self._done = False
        self.idempotency_key = idempotency_key or calls.new_key()
        #: The user's message, once it is stored.
        self.message_id: str | None = None
        #: The reply and its try.
        self.stream_id: str | None = None
        #: Whether a person answers, so that nothing (more) comes from the agent.
        self.escalated = False

    @property
    def text(self) -> str:
        """The reply so far."""
        return self._text.shown

    def _next(self) -> dict[str, Any]:
        self._parser, self._problem = SseParser(), None
        if self.stream_id is None or self._posting:
            self._posting = True
            call = calls.post_message(self._conversation_id, self._message, self.idempotency_key)
        else:
            call = calls.go_on(self._conversation_id, self.stream_id, self._last_event_id)
        return {**call.request, "timeout": _TIMEOUT}

    def _opened(self, response: httpx.Response) -> None:
        if response.status_code == 204:
            self._posting = self._settled = True
            return
        self.message_id = response.headers.get("X-Message-Id", self.message_id)
        stream_id = response.headers.get("X-Stream-Id")
        if self._posting or stream_id != self.stream_id:  # It is told from its beginning.
            self._text.begin()
            self._last_event_id = None
        self.stream_id = stream_id
        self._posting = False

    def _feed(self, chunk: bytes) -> list[Token]:
        tokens: list[Token] = []
        for event in self._parser.feed(chunk):
            if event.data == "[DONE]":
                self._finish(tokens)
                break
            said = json.loads(event.data)
            if said["type"] == "delta":
                self._last_event_id = event.id
                tokens += self._text.add(said["text"])
            elif said["type"] == "error":
                self._problem = said["message"]
            elif said["type"] == "status":
                self.escalated = said["status"] == "escalated"
        if tokens:
            self._backoff.reset()
        return tokens

    def _finish(self, tokens: list[Token]) -> None:
        self._done = self._problem is None or self._settled
        if self._done:
            tokens += self._text.finish()

    def _ended(self) -> float:
        """The response has ended: seconds until the next one is asked for, where the reply has not."""
        if self._done:
            if self._problem is not None:
                raise AgentError(self._problem)
            return 0
        if self._posting:
            return 0
        return self._failed(httpx.RemoteProtocolError(self._problem or "the stream was cut"))

    def _failed(self, error: Exception) -> float:
        return wait_after(error, self._backoff)


class MessageStream(_Reading):
    """A message and its reply: iterate over the tokens, then `text` is the whole."""

    def __init__(self, transport: Transport, conversation_id: str, message: str, key: str | None) -> None:
        super().__init__(conversation_id, message, key, transport.attempts)
        self._http = transport.http

    def __iter__(self) -> Iterator[Token]:
        """Tokens as they come; AgentError at the end where the agent failed."""
        while not self._done:
            try:
                with self._http.stream(**self._next()) as response:
                    if not response.is_success:
                        response.read()
                        raise refusal(response)
                    self._opened(response)
                    for chunk in response.iter_bytes():
                        yield from self._feed(chunk)
                wait = self._ended()
            except (httpx.TransportError, LexiconError) as error:
                wait = self._failed(error)
            time.sleep(wait)

    def read(self) -> str:
        """Read to the end: the whole reply."""
        for _ in self:
            pass
        return self.text


class AsyncMessageStream(_Reading):
    """A message and its reply: iterate over the tokens, then `text` is the whole."""

    def __init__(self, transport: AsyncTransport, conversation_id: str, message: str, key: str | None) -> None:
        super().__init__(conversation_id, message, key, transport.attempts)
        self._http = transport.http

    async def __aiter__(self) -> AsyncIterator[Token]:
        """Tokens as they come; AgentError at the end where the agent failed."""
        while not self._done:
            try:
                async with self._http.stream(**self._next()) as response:
                    if not response.is_success:
                        await response.aread()
                        raise refusal(response)
                    self._opened(response)
                    async for chunk in response.aiter_bytes():
                        for token in self._feed(chunk):
                            yield token
                wait = self._ended()
            except (httpx.TransportError, LexiconError) as error:
                wait = self._failed(error)
            await asyncio.sleep(wait)

    async def read(self) -> str:
        """Read to the end: the whole reply."""
        async for _ in self:
            pass
        return self.text
