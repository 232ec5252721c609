"""What is refused a million times is a counter and a line a second."""

from __future__ import annotations

from typing import Any

import pytest

from core.refusals import Refusals


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    return Refusals(clock)


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records]  # type: ignore[attr-defined]


def test_the_first_is_logged_at_once(refusals: Refusals, caplog: pytest.LogCaptureFixture) -> None:
    refusals.count("head", address="192.0.2.1")
    assert told(caplog) == [{"reason": "head", "count": 1, "last_address": "192.0.2.1"}]


def test_those_of_the_next_second_are_one_line(
    refusals: Refusals, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1001):
        clock.now += 0.001 if number else 0
        refusals.count("head", address=f"192.0.2.{number % 200}")
    assert [line["count"] for line in told(caplog)] == [1, 1000]


def test_those_that_nothing_follows_are_logged_when_a_second_is_over(
    refusals: Refusals, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        refusals.count("head")
    clock.now += 0.9
    refusals.log()
    assert len(told(caplog)) == 1
    clock.now += 0.1
    refusals.log()
    refusals.log()
    assert [line["count"] for line in told(caplog)] == [1, 4]


def test_one_reason_does_not_hide_another(refusals: Refusals, caplog: pytest.LogCaptureFixture) -> None:
    refusals.count("head")
    refusals.count("body")
    assert [line["reason"] for line in told(caplog)] == ["head", "body"]
