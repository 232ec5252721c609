"""A process whose wall clock jumps goes on: its timers do not look at it, and leases are the database's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from chats.models import Reply
from core.db.executor import in_thread
from tests.faults.conftest import LEASE
from tests.settings import ON_SQLITE
from tests.support.actors import Actor
from tests.support.client import Socket, script
from tests.support.servers import Server

NewServer = Callable[..., Server]

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class Clock:
    """The wall clock of one process, which can be set; the monotonic one is left alone, as it is by a real jump."""

    def __init__(self, folder: Path) -> None:
        if not LIBRARIES:
            pytest.skip("a wall clock that jumps: needs libfaketime")
        self._file = folder / "clock"
        self.set("+0")
        self.env = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        self._file.write_text(offset + "\n")


@pytest.mark.parametrize("jump", ["+1h", "-1h"])
async def test_a_jump_costs_no_lease_and_no_order(
    acme: Actor, new_server: NewServer, tmp_path: Path, jump: str
) -> None:
    clock = Clock(tmp_path)
    jumps = await in_thread(new_server, **clock.env)
    acme.base = jumps.http
    if not ON_SQLITE:
        await in_thread(new_server)  # whose clock is right, and who would take over what it holds for dead
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    # It jumps while a reply is said, with others waiting behind it: all of it takes more than two leases.
    lasts = int(2 * float(LEASE) * 1000)
    await socket.send({"content": script(say="One two three four", total_ms=lasts)})
    await socket.until("message_stream_token")
    before = await clock_of(socket)
    await socket.send({"content": script(say="Five")})
    clock.set(jump)
    await socket.send({"content": script(say="Six")})
    ended = [await socket.until("message_stream_ended") for _ in range(3)]
    assert [end["content"] for end in ended] == ["One two three four", "Five", "Six"]
    assert abs(await clock_of(socket) - before) > 3000  # it did jump
    assert len(socket.of_type("message_stream_started")) == 3
    sequences = [event["sequence"] for event in socket.events if "sequence" in event]
    assert sequences == [1, 2, 3, 4, 5, 6]
    assert not socket.of_type("error")
    history = (await in_thread(acme.rest, "GET", f"/{chat}/messages")).json()["messages"]
    assert [message["sequence"] for message in history] == [1, 2, 3, 4, 5, 6]
    replies = await in_thread(
        lambda: list(Reply.objects.for_tenant(acme.tenant_id).values_list("state", "tries", "epoch"))
    )
    assert replies == [("done", 1, 1)] * 3


async def clock_of(socket: Socket) -> float:
    """What the process holds for the time, in seconds."""
    await socket.quiet()
    return datetime.fromisoformat(socket.events[-1]["timestamp"]).timestamp()
