"""All who listen for a beat are called at the same one, and nobody waits for another's sake."""

from __future__ import annotations

import asyncio

import pytest

from agents.providers.read_ticker import ReadTicker
from tests.support.client import SOON

#: No database decides it.
pytestmark = pytest.mark.once


async def come(beat: ReadTicker) -> None:
    """Wait for the next one."""
    came = asyncio.Event()
    beat.call(came.set)
    async with asyncio.timeout(SOON):
        await came.wait()


async def test_all_who_listen_are_called_in_one_turn_of_the_loop() -> None:
    beat, called = ReadTicker(), []

    def listen(name: int) -> None:
        called.append(name)
        if name == 1:
            asyncio.get_running_loop().call_soon(called.append, "the next turn")

    for name in (1, 2, 3):
        beat.call(lambda name=name: listen(name))
    await come(beat)
    await asyncio.sleep(0)
    assert called == [1, 2, 3, "the next turn"]


async def test_who_listens_is_called_once() -> None:
    beat, called = ReadTicker(), []
    beat.call(lambda: called.append("once"))
    await come(beat)
    await come(beat)
    assert called == ["once"]


async def test_who_listens_again_when_called_hears_the_next_one() -> None:
    beat, called = ReadTicker(), []

    def listen() -> None:
        called.append(len(called))
        if len(called) < 3:
            beat.call(listen)

    listen()
    for _ in range(2):
        await come(beat)
    assert called == [0, 1, 2]


def test_an_event_loop_that_ended_holds_up_none_that_follows() -> None:
    beat = ReadTicker()

    async def leave() -> None:
        beat.call(lambda: None)

    asyncio.run(leave())
    asyncio.run(come(beat))
