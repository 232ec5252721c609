"""Which failures of a model may be over when it is asked again, and when is that?

Only what fails before the first token is asked again: nobody has read anything yet.
"""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

from agents.contract import AgentFailure

#: Statuses that pass: overload and faults of the server, and of what stands in front of it. 529 is Anthropic's.
PASSING = frozenset({429, 500, 502, 503, 504, 529})
#: A model that was asked too much is asked once more and not again.
TOO_MANY = 429
#: Seconds before the first try more, doubled for each one after it, less up to a quarter by chance: as OpenAI's and
#: Anthropic's own clients wait (INITIAL_RETRY_DELAY in their _constants.py).
FIRST_PAUSE = 0.5


class ProviderError(AgentFailure):
    """A failure before or within an answer, with what is known of how it may go on."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        passes: bool = False,
        status: int | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        #: Whether it may be over by itself.
        self.passes = passes
        #: Of HTTP, where that is what failed.
        self.status = status
        #: Seconds after which the server wants to be asked again, where it says so.
        self.after = after


class RetryPolicy:
    """Counts the tries of one question: `most` more than the first, however it fails."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made = 0

    def pause(self, failure: ProviderError, *, left: float) -> float | None:
        """Seconds until it is asked again; None where it is not. `left` is how many there are for its first token."""
        most = min(self._most, 1) if failure.status == TOO_MANY else self._most
        if not failure.passes or self._made >= most:
            return None
        pause = FIRST_PAUSE * 2**self._made * random.uniform(0.75, 1)
        if failure.after is not None:
            pause = max(failure.after, pause)
        self._made += 1
        return pause if pause < left else None


def read_retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110, section 10.2.3); None where it asks for nothing."""
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
