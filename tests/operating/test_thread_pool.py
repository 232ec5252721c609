"""Units of work share one thread while that gets on, and nobody waits for one that is slow."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Iterator
from functools import partial
from typing import Any

import pytest

from core.db import thread_pool
from core.db.thread_pool import SLOW, ThreadPool
from tests.support.client import SOON

#: No database decides it.
pytestmark = pytest.mark.once

#: Who works where the first is slow. Where the machine is busy the next may be slow to come, and one more joins in.
JOINED = {"tested_1", "tested_2"}


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool(3, "tested")
    yield pool
    pool.close()


@pytest.fixture
def hold() -> Iterator[threading.Event]:
    """Until it is set, a unit that waits for it is at work."""
    hold = threading.Event()
    yield hold
    hold.set()


async def soon(answer: Awaitable[Any]) -> Any:
    async with asyncio.timeout(SOON):
        return await answer


def name_of_thread() -> str:
    return threading.current_thread().name


class Begun:
    """A unit that says that it is at work, and waits until it may end."""

    def __init__(self, pool: ThreadPool, hold: threading.Event) -> None:
        self.at_work = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(pool.run(lambda: self._work(hold)))

    def _work(self, hold: threading.Event) -> str:
        self._loop.call_soon_threadsafe(self.at_work.set)
        hold.wait(SOON)
        return name_of_thread()


async def begin(pool: ThreadPool, hold: threading.Event) -> Begun:
    begun = Begun(pool, hold)
    await soon(begun.at_work.wait())
    return begun


async def test_what_a_unit_answers_is_answered(pool: ThreadPool) -> None:
    assert await soon(pool.run(lambda: 42)) == 42


async def test_what_a_unit_raises_is_raised(pool: ThreadPool) -> None:
    with pytest.raises(ZeroDivisionError):
        await soon(pool.run(lambda: 1 / 0))
    assert await soon(pool.run(lambda: "the next")) == "the next"


async def test_lanes_take_turns(pool: ThreadPool, hold: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "SLOW", SOON)
    monkeypatch.setattr(thread_pool, "LATE", SOON)
    order: list[str] = []
    begun = await begin(pool, hold)
    given = ("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    waiting = [asyncio.create_task(pool.run(partial(order.append, name), lane=name[0])) for name in given]
    await asyncio.sleep(0)
    hold.set()
    await soon(asyncio.gather(begun.task, *waiting))
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_quick_units_run_in_one_thread_in_their_order(pool: ThreadPool, monkeypatch: pytest.MonkeyPatch) -> None:
    # However busy the machine is.
    monkeypatch.setattr(thread_pool, "SLOW", SOON)
    monkeypatch.setattr(thread_pool, "LATE", SOON)
    order: list[int] = []

    def note(number: int) -> str:
        order.append(number)
        return name_of_thread()

    names = await soon(asyncio.gather(*(pool.run(lambda number=number: note(number)) for number in range(50))))
    assert order == list(range(50))
    assert set(names) == {"tested_0"}


async def test_a_unit_that_comes_while_another_is_slow_is_not_held_up(pool: ThreadPool, hold: threading.Event) -> None:
    await begin(pool, hold)
    assert await soon(pool.run(name_of_thread)) in JOINED


async def test_a_unit_that_waits_while_another_becomes_slow_is_not_held_up(
    pool: ThreadPool, hold: threading.Event
) -> None:
    # Both are there before anybody can tell that the first one is slow, and nothing comes after them.
    slow = asyncio.create_task(pool.run(lambda: hold.wait(SOON)))
    quick = asyncio.create_task(pool.run(name_of_thread))
    assert await soon(quick) in JOINED
    assert not slow.done()


async def test_no_more_threads_join_in_than_the_pool_may_have(pool: ThreadPool, hold: threading.Event) -> None:
    held = [await begin(pool, hold) for _ in range(3)]
    last = asyncio.create_task(pool.run(name_of_thread))
    # Long enough for a fourth one to join in, if there were one.
    await asyncio.wait([last], timeout=10 * SLOW)
    assert not last.done()
    hold.set()
    names = {await soon(begun.task) for begun in held}
    assert names == {"tested_0", "tested_1", "tested_2"}
    assert await soon(last) in names


async def test_who_joined_in_leaves_when_nothing_is_left_and_joins_in_again(
    pool: ThreadPool, hold: threading.Event
) -> None:
    for _ in range(3):
        held = threading.Event()
        slow = await begin(pool, held)
        assert await soon(pool.run(name_of_thread)) in JOINED
        await left(pool)
        held.set()
        assert await soon(slow.task) == "tested_0"


async def left(pool: ThreadPool) -> None:
    """Wait until whoever joined in has left."""
    async with asyncio.timeout(SOON):
        while any(worker.began is not None for worker in pool._workers[1:]):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_where_units_wait_for_long_another_one_joins_in(
    pool: ThreadPool, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_pool, "SLOW", SOON)
    monkeypatch.setattr(thread_pool, "LATE", 0.0)
    # Nobody is slow, but whoever is at work was given it a while ago.
    await begin(pool, hold)
    assert await soon(pool.run(name_of_thread)) in JOINED


async def test_a_unit_whose_caller_left_before_it_began_is_not_begun(pool: ThreadPool, hold: threading.Event) -> None:
    held = [await begin(pool, hold) for _ in range(3)]
    begun: list[bool] = []
    waiting = asyncio.create_task(pool.run(lambda: begun.append(True)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hold.set()
    await soon(asyncio.gather(*(each.task for each in held)))
    await soon(asyncio.gather(*(pool.run(lambda: None) for _ in range(5))))
    assert not begun


async def test_a_unit_whose_caller_left_goes_on(pool: ThreadPool, hold: threading.Event) -> None:
    at_work, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(at_work.set)
        hold.wait(SOON)
        loop.call_soon_threadsafe(ended.set)

    task = asyncio.create_task(pool.run(work))
    await soon(at_work.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hold.set()
    await soon(ended.wait())


class Param:
    """Something a unit works with."""


@pytest.fixture
def no_collection() -> Iterator[None]:
    """What only the search for garbage would find stays."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
async def test_what_a_unit_answered_is_not_held_after_it(pool: ThreadPool) -> None:
    answer = await soon(pool.run(Param))
    held = weakref.ref(answer)
    del answer
    await soon(pool.run(lambda: None))
    assert held() is None


@pytest.mark.usefixtures("no_collection")
async def test_what_a_unit_worked_with_is_not_held_after_it_failed(pool: ThreadPool) -> None:
    def fail(_: Param) -> None:
        raise LookupError

    async def ask() -> weakref.ref[Param]:
        given = Param()
        with pytest.raises(LookupError):
            await pool.run(partial(fail, given))
        return weakref.ref(given)

    held = await soon(ask())
    await soon(pool.run(lambda: None))
    assert held() is None


async def test_a_pool_that_is_closed_takes_no_more(pool: ThreadPool) -> None:
    await soon(pool.run(lambda: None))
    await asyncio.to_thread(pool.close)
    with pytest.raises(RuntimeError):
        await pool.run(lambda: None)


def test_a_pool_serves_one_event_loop_after_another(pool: ThreadPool) -> None:
    hold = threading.Event()

    async def leave() -> None:
        await begin(pool, hold)
        # Somebody is about to look whether it needs help when this loop ends.
        waiting = asyncio.create_task(pool.run(lambda: None))
        await asyncio.sleep(0)
        waiting.cancel()

    async def follow() -> str:
        return await soon(pool.run(name_of_thread))

    asyncio.run(leave())
    assert asyncio.run(follow()) in JOINED
    hold.set()


async def test_a_unit_may_be_done_before_anybody_waits_for_it(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    help_where_slow = pool._help_where_slow

    def help_late() -> None:
        done.wait(SOON)
        help_where_slow()

    done = threading.Event()
    monkeypatch.setattr(pool, "_help_where_slow", help_late)
    tell = thread_pool._Unit.tell

    def tell_and_say(unit: thread_pool._Unit) -> None:
        tell(unit)
        done.set()

    monkeypatch.setattr(thread_pool._Unit, "tell", tell_and_say)
    assert await soon(pool.run(lambda: "done")) == "done"
