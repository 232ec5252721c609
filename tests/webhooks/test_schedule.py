"""A delivery is tried over three days, each time a little earlier or later than the others."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest

from webhooks.schedule import DELAYS, JITTER, delay_after


def test_the_attempts_are_spread_over_three_days() -> None:
    assert list(DELAYS[:4]) == [0, 5, 300, 1800]
    assert timedelta(days=3) < timedelta(seconds=sum(DELAYS)) < timedelta(days=3.5)


@pytest.mark.parametrize("attempts", range(1, len(DELAYS)))
def test_a_delay_is_the_schedules_give_or_take_a_fifth(attempts: int) -> None:
    planned = timedelta(seconds=DELAYS[attempts])
    assert delay_after(attempts, chance=lambda: 0.0) == planned * (1 - JITTER)
    assert delay_after(attempts, chance=lambda: 0.5) == planned
    assert delay_after(attempts, chance=lambda: 1.0) == planned * (1 + JITTER)


def test_two_that_failed_together_do_not_return_together() -> None:
    assert len({delay_after(3) for _ in range(20)}) > 15


def test_after_the_last_attempt_there_is_none() -> None:
    attempts = next(number for number in count(1) if delay_after(number) is None)
    assert attempts == len(DELAYS) == 10
