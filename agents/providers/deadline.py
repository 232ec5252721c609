"""How long is a model waited for?

One timer for each reply, which looks now and then whether the model has been silent for too long: a token
only writes down when it came. (A timeout around each read costs more than the reading.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

from agents.contract import AgentFailure
from agents.providers.retry_policy import ProviderError
from core.outbound import Forbidden

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a model may take, in seconds, each more than zero."""

    #: Until there is a connection to it.
    connect: float
    #: From the question to the first token, with all tries; counted anew at each sign that the model is thinking.
    first_token: float
    #: From one token to the next.
    gap: float
    #: For the whole reply.
    total: float


class Deadline:
    """Waits for one reply as long as the timeouts allow. Every way in which waiting ends badly is an AgentFailure.

    Its messages name a class of failure, never an address or what the server sent. `most` is how many seconds the
    reply may take where that is less than the timeouts say.
    """

    def __init__(self, timeouts: Timeouts, *, most: float | None = None) -> None:
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._total = timeouts.total if most is None else min(most, timeouts.total)
        self._end = self._now() + self._total
        self._silence = timeouts.first_token
        self._timer: asyncio.TimerHandle | None = None
        self._give_up: Callable[[], None] = lambda: None
        self._is_over = False
        self.until = 0.0
        self.renew()

    def renew(self) -> None:
        """The model gave a sign of life: count from now."""
        self.until = min(self._now() + self._silence, self._end)

    def spoke(self) -> None:
        """The model said its first words: from now on it is waited for from one token to the next."""
        self._silence = self._timeouts.gap
        self.renew()
        self._look()

    @property
    def left(self) -> float:
        """How many seconds the model has for its next sign of life."""
        return self.until - self._now()

    async def wait(self, answer: Awaitable[T]) -> T:
        """The answer, if it comes in time."""
        try:
            async with asyncio.timeout_at(self.until):
                return await answer
        except aiohttp.ServerTimeoutError:
            how = f"no connection in {self._timeouts.connect:g} s"
            raise ProviderError(how, reason="connection", passes=True) from None
        except TimeoutError:
            raise self._failure() from None
        except Forbidden as why:
            raise AgentFailure(f"its address {why}", reason="connection") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self.disconnected(error) from None

    def watch(self, give_up: Callable[[], None]) -> None:
        """Call `give_up`, once, when the model is silent for too long; until `rest`."""
        self._give_up = give_up
        self._look()

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()

    def disconnected(self, error: Exception | None = None) -> AgentFailure:
        """What it means that there is no connection any more: a failure of it, or that we gave up."""
        if self._is_over:
            return self._failure()
        how = "it closed the connection in the middle of its reply"
        if error is not None:
            how = f"the connection failed: {type(error).__name__}"
        return ProviderError(how, reason="connection", passes=True)

    def _look(self) -> None:
        self.cancel()
        if self._now() < self.until:
            self._timer = self._loop.call_at(self.until, self._look)
        else:
            self._is_over = True
            self._give_up()

    def _failure(self) -> AgentFailure:
        if self.until == self._end:
            return AgentFailure(f"its reply took longer than {self._total:g} s", reason="timeout")
        return AgentFailure(f"it was silent for {self._silence:g} s", reason="timeout")
