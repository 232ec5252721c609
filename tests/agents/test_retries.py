"""When a model is asked again."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from agents.providers.retry_policy import FIRST_PAUSE, ProviderError, RetryPolicy, read_retry_after

#: No database decides it.
pytestmark = pytest.mark.once

PASSES = ProviderError("it answered with status 503", reason="status", passes=True, status=503)
TOO_MANY = ProviderError("it answered with status 429", reason="status", passes=True, status=429)


def test_pauses_grow_and_are_never_the_same_for_all() -> None:
    firsts = {RetryPolicy(3).pause(PASSES, left=60) for _ in range(20)}
    assert len(firsts) > 1
    retries = RetryPolicy(3)
    for doubled in (1, 2, 4):
        pause = retries.pause(PASSES, left=60)
        assert pause is not None
        assert 0.75 * FIRST_PAUSE * doubled <= pause <= FIRST_PAUSE * doubled
    assert retries.pause(PASSES, left=60) is None


def test_too_many_requests_are_tried_once_more_at_most() -> None:
    retries = RetryPolicy(3)
    assert retries.pause(TOO_MANY, left=60) is not None
    assert retries.pause(TOO_MANY, left=60) is None
    assert RetryPolicy(0).pause(TOO_MANY, left=60) is None


def test_what_does_not_pass_is_not_tried_again() -> None:
    failure = ProviderError("it answered with status 401", reason="status", status=401)
    assert RetryPolicy(3).pause(failure, left=60) is None


@pytest.mark.parametrize(("left", "is_tried"), [(7.0, True), (4.0, False)])
def test_a_pause_that_is_too_long_for_who_waits_is_not_made(left: float, is_tried: bool) -> None:
    later = ProviderError("it answered with status 503", reason="status", passes=True, status=503, after=5.0)
    assert (RetryPolicy(1).pause(later, left=left) == 5.0) == is_tried


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("5", 5.0), (" 5 ", 5.0), ("0", 0.0), ("soon", None), ("-5", None), ("\u0665", None)],
)
def test_seconds_are_read(header: str | None, seconds: float | None) -> None:
    assert read_retry_after(header) == seconds


def test_a_date_is_read_and_one_that_is_over_is_now() -> None:
    in_a_minute = read_retry_after(formatdate(time.time() + 60, usegmt=True))
    assert in_a_minute is not None
    assert 58 < in_a_minute <= 60
    assert read_retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
