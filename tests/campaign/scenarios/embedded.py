"""One process on SQLite, with everybody writing at once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path

from tests.campaign.cluster import Cluster
from tests.campaign.load import all_ready, lasting, message, new_chats
from tests.campaign.stage import Stage, scenario


class Disk:
    """How long the disk, and this machine, let somebody wait who has nothing to do with the service."""

    def __init__(self, path: Path) -> None:
        self.sync = self.turn = 0.0
        self._path = path
        self._tasks = [asyncio.create_task(work()) for work in (self._write, self._sleep)]

    async def _write(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.to_thread(self._commit)
            self.sync = max(self.sync, time.monotonic() - began)
            await asyncio.sleep(0.1)

    def _commit(self) -> None:
        with self._path.open("ab") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())

    async def _sleep(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.05)
            self.turn = max(self.turn, time.monotonic() - began - 0.05)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


@scenario("F21", own=True)
async def crowded(stage: Stage) -> None:
    """20 writers and 40 streams; then kill -9."""
    stage.cluster = Cluster(stage.folder, stage.databases.new(on_sqlite=True), stage.model)
    server = stage.cluster.add_replica()
    await stage.cluster.start()
    acme = await stage.new_actor(credits=100_000)
    streams = [stage.talker(f"s{n}", acme, chat) for n, chat in enumerate(await new_chats(stage.database, acme, 40))]
    writers = [stage.talker(f"w{n}", acme, chat) for n, chat in enumerate(await new_chats(stage.database, acme, 20))]
    await all_ready(stage.talkers)
    asked = [(talker, await talker.post(lasting(10))) for talker in streams]
    took: list[float] = []
    disk = Disk(stage.folder / "disk")
    stage.closing.callback(disk.stop)

    async def write(n: int) -> None:
        for _ in range(25):
            began = time.monotonic()
            post = await writers[n].acknowledged(await writers[n].post(message()))
            stage.require(post.refused is None, f"refused: {post.refused}")
            took.append(time.monotonic() - began)

    await asyncio.gather(*(write(n) for n in range(20)))
    disk.stop()
    stage.note(f"a write of somebody else's took up to {disk.sync:.1f} s, a turn {disk.turn:.1f} s")
    refused = sum(line["phase"] == "fail" for line in stage.history.lines if line["op"] == "post")
    stage.require(not refused, f"{refused} messages were refused at first")
    stage.require("database is locked" not in server.log.read_text(), "the database was locked")
    await asyncio.to_thread(server.kill)
    began = time.monotonic()
    path = stage.database.url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        [answer] = connection.execute("PRAGMA integrity_check").fetchone()
    stage.require(answer == "ok", f"integrity_check: {answer}")
    await asyncio.to_thread(server.start)
    await asyncio.gather(*(talker.answered(post) for talker, post in asked))
    stage.recovered_in = time.monotonic() - began
    took.sort()
    stage.note(f"{len(took)} writes, 95 % within {took[len(took) * 95 // 100] * 1000:.0f} ms; integrity_check ok")
