"""How does a model behind an OpenAI-compatible API answer?

Chat completions over HTTP, text only (`openai:<model>`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from io import BytesIO
from typing import TypeVar

import aiohttp
import orjson

from agents import connections
from agents.completion import Completion
from agents.connections import Timeouts
from agents.contract import AgentFailure, End, Event, Request, Text, Usage
from agents.prompts import chat_messages

T = TypeVar("T")

#: How long the rest of a finished reply may take, in seconds: its usage, and the end of the body, after which
#: the connection can serve another reply. A server that keeps the body open delays a reply's end by so much.
REST_SECONDS = 0.5
#: What a wrong base URL often answers with status 200.
_NOT_A_STREAM = ("text/html", "application/json")


class OpenAICompatibleAgent:
    """A model of OpenAI's, or of anybody who speaks as they do.

    `base_url` is what stands before `/chat/completions`. Where `api_key` is empty, none is sent.
    """

    def __init__(self, *, name: str, base_url: str, api_key: str, timeouts: Timeouts) -> None:
        self.model = f"openai:{name}"
        self._name = name
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeouts = timeouts

    async def reply(self, request: Request) -> AsyncGenerator[Event, None]:
        """One reply, as it comes. Closing the generator closes the connection.

        Raises AgentFailure, for a reply without a word as well.
        """
        patience = _Patience(self._timeouts)
        completion = Completion()
        spoke = False
        response = await patience.wait(self._ask(request))
        try:
            _check_answer(response)
            while completion.finish_reason is None:
                chunk = await patience.wait(response.content.readany())
                if not chunk:
                    raise AgentFailure("it closed the connection in the middle of its reply", reason="connection")
                events = completion.events
                if text := completion.feed(chunk):
                    spoke = True
                    yield Text(text)
                if completion.failure:
                    raise AgentFailure(completion.failure)
                if completion.events > events:
                    patience.renew(spoke=spoke)
            if not spoke:
                raise AgentFailure("it finished without a word", reason="silent")
            await _read_rest(response, completion)
        finally:
            response.close()
        if completion.usage:
            yield completion.usage
        yield End(completion.finish_reason)

    def estimate(self, request: Request, said: str) -> Usage:
        """A token for each four characters of what the model was told and of what it said."""
        told = sum(len(message["content"]) for message in chat_messages(request))
        return Usage(_tokens(told), _tokens(len(said)))

    async def _ask(self, request: Request) -> aiohttp.ClientResponse:
        body = {
            "model": self._name,
            "messages": chat_messages(request),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return await connections.session().post(
            self._url,
            # A file, which aiohttp sends in parts: a long history must not hold up the event loop.
            data=BytesIO(orjson.dumps(body)),
            headers=self._headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect),
        )


class _Patience:
    """Waits for the model as long as the timeouts allow. Every way in which waiting ends badly is an AgentFailure.

    Its messages name a class of failure, never an address or what the server sent.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + timeouts.total
        self.renew(spoke=False)

    def renew(self, *, spoke: bool) -> None:
        """The model gave a sign of life: count from now."""
        self._silence = self._timeouts.gap if spoke else self._timeouts.first_token
        self._until = min(self._now() + self._silence, self._end)

    async def wait(self, answer: Awaitable[T]) -> T:
        """The answer, if it comes in time."""
        try:
            async with asyncio.timeout_at(self._until):
                return await answer
        except aiohttp.ServerTimeoutError:
            raise AgentFailure(f"no connection in {self._timeouts.connect:g} s", reason="connection") from None
        except TimeoutError:
            if self._until == self._end:
                raise AgentFailure(f"its reply took longer than {self._timeouts.total:g} s", reason="timeout") from None
            raise AgentFailure(f"it was silent for {self._silence:g} s", reason="timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise AgentFailure(f"the connection failed: {type(error).__name__}", reason="connection") from None


def _check_answer(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        raise AgentFailure(f"it answered with status {response.status}", reason="status")
    if response.content_type in _NOT_A_STREAM:
        raise AgentFailure(f"it answered with {response.content_type}, not with a stream of events")


async def _read_rest(response: aiohttp.ClientResponse, completion: Completion) -> None:
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(REST_SECONDS):
            while chunk := await response.content.readany():
                completion.feed(chunk)


def _tokens(characters: int) -> int:
    return max(1, characters // 4) if characters else 0
