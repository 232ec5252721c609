"""SQLite does what it was told, and a full disk costs nothing that was acknowledged."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import httpx
from django.db import connections

from lexicon import data_checks
from lexicon.database import in_thread
from tests.cast import Actor
from tests.client import eventually, script
from tests.faults.test_killed import all_said, history
from tests.servers import Server


def test_what_sqlite_was_told_is_read_back(db: None) -> None:
    assert data_checks.sqlite_pragmas(databases=["default"]) == []


def test_a_commit_that_a_power_cut_may_take_is_refused(transactional_db: None) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA synchronous=NORMAL")
    [message] = data_checks.sqlite_pragmas(databases=["default"])
    connections["default"].close()
    assert message.id == "lexicon.E016"
    assert "synchronous is 1" in message.msg
    assert message.hint


class Disk:
    """The disk of a server, which can be full for it: no file of its may grow, or be written beyond its first pages."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self._pid = server.process.pid

    def fill(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (16 * 1024, resource.RLIM_INFINITY))

    def free(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(
    acme: Actor, new_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = await in_thread(new_server)
    acme.base = server.http
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    await socket.say(script(say="Before"))
    before = await history(acme, chat)
    disk = Disk(server)

    disk.fill()

    async def refused() -> httpx.Response | None:
        answer = await in_thread(acme.rest, "POST", "/", json={"user_id": "alice"})
        return answer if answer.status_code == 503 else None

    answer = await eventually(refused)
    assert answer.json()["error_code"] == "SERVICE_UNAVAILABLE"
    assert answer.headers["Retry-After"]
    await socket.send({"content": script(say="Lost"), "client_message_id": "again"})
    assert (await socket.until("error"))["error_code"] == "SERVICE_UNAVAILABLE"
    assert not socket.of_type("message_received")[1:]
    assert await history(acme, chat) == before

    disk.free()

    async def taken() -> bool:
        await socket.send({"content": script(say="After"), "client_message_id": "again"})
        return (await socket.next())["event_type"] == "message_received"

    await eventually(taken)
    messages = await all_said(acme, chat, 4)
    assert messages[:2] == before
    assert [message["sequence"] for message in messages] == [1, 2, 3, 4]
    assert messages[3]["content"] == "After"
    await socket.close()
