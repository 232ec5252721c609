"""When is a delivery tried again?"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

_MINUTE, _HOUR = 60, 3600

#: Seconds before each attempt, counted from the one before: three days and some hours in all.
#: The schedule that the Standard Webhooks specification suggests ("Deliverability and reliability").
DELAYS = (0, 5, 5 * _MINUTE, 30 * _MINUTE, *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24)))
#: Largest part of a delay that is added or taken away, so that what failed together does not return together.
JITTER = 0.2


def delay_after(attempts: int, *, chance: Callable[[], float] = random.random) -> timedelta | None:
    """How long to wait after so many failed attempts (1 or more); None after the last.

    `chance` answers numbers from 0 to 1.
    """
    if attempts >= len(DELAYS):
        return None
    return timedelta(seconds=DELAYS[attempts] * (1 + JITTER * (2 * chance() - 1)))
