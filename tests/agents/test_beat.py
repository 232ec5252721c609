"""All who wait for a beat wait for the same one, and nobody for another's sake."""

from __future__ import annotations

import asyncio

import pytest

from agents.beat import Beat
from tests.client import SOON


async def together(*waiting: asyncio.Task[None]) -> None:
    async with asyncio.timeout(SOON):
        await asyncio.gather(*waiting)


async def test_all_who_wait_are_woken_in_one_turn_of_the_loop() -> None:
    beat, woken = Beat(), []

    async def listen(name: int) -> None:
        await beat.wait()
        woken.append(name)
        if name == 1:
            asyncio.get_running_loop().call_soon(woken.append, "the next turn")

    await together(*(asyncio.create_task(listen(name)) for name in (1, 2, 3)))
    await asyncio.sleep(0)
    assert woken == [1, 2, 3, "the next turn"]


async def test_who_is_cancelled_wakes_nobody_and_is_missed_by_nobody() -> None:
    beat = Beat()
    one, other = asyncio.create_task(beat.wait()), asyncio.create_task(beat.wait())
    await asyncio.sleep(0)
    one.cancel()
    await together(other)
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_there_is_another_beat_for_who_waits_again() -> None:
    beat = Beat()
    for _ in range(2):
        await together(asyncio.create_task(beat.wait()))


def test_an_event_loop_that_ended_holds_up_none_that_follows() -> None:
    beat = Beat()

    async def leave() -> None:
        task = asyncio.create_task(beat.wait())
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    asyncio.run(asyncio.wait_for(beat.wait(), SOON))
