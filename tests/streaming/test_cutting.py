"""A process that stops cuts its replies off once, however often it is told to."""

from __future__ import annotations

import asyncio
import uuid

from streaming.engine import Engine
from tests.support.client import SOON


async def test_a_reply_that_is_being_handed_over_is_not_cut_off_again() -> None:
    engine = Engine()
    begun, cut, may_go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    handed_over = []

    async def write() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.set()
            await may_go_on.wait()
            handed_over.append(True)

    writing = engine._running[uuid.uuid4()] = engine.spawn(write(), "reply")
    async with asyncio.timeout(SOON):
        await begun.wait()
        engine._cut()
        await cut.wait()
        engine._cut()
        may_go_on.set()
        await asyncio.wait([writing])
    assert handed_over
