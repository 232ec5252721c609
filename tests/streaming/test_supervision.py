"""A task that must never end is begun again, and told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from core.observability import metrics
from streaming import supervision
from streaming.supervision import restarts, supervise
from tests.support.client import SOON


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "RESTART_SECONDS", 0.0)
    restarts.clear()


class Task:
    """Ends in one way after the other, then runs on."""

    def __init__(self, *ends: BaseException | None) -> None:
        self.ends = list(ends)
        self.runs = asyncio.Event()

    async def __call__(self) -> None:
        if self.ends:
            end = self.ends.pop(0)
            if end is not None:
                raise end
            return
        self.runs.set()
        await asyncio.Event().wait()


async def supervised(task: Task) -> asyncio.Task[None]:
    running = asyncio.create_task(supervise("poll", task))
    async with asyncio.timeout(SOON):
        await task.runs.wait()
    return running


@pytest.mark.parametrize("end", [ValueError("v"), None, asyncio.CancelledError()], ids=["fails", "ends", "is cut off"])
async def test_what_ended_runs_again(end: BaseException | None) -> None:
    running = await supervised(Task(end, end))
    assert not running.done()
    assert restarts == {"poll": 2}
    running.cancel()


async def test_each_restart_is_counted_and_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    before = metrics.TASK_RESTARTS.labels("poll")._value.get()
    running = await supervised(Task(ValueError("v")))
    assert metrics.TASK_RESTARTS.labels("poll")._value.get() == before + 1
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    running.cancel()


async def test_who_cancels_it_ends_it() -> None:
    running = await supervised(Task())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert restarts == {}
