"""The wall clock of one replica jumps."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import websockets

from chats.models import Reply
from tests.campaign.callers import HTTP
from tests.campaign.load import all_ready, lasting, message, new_chats
from tests.campaign.stage import Stage, scenario
from tests.faults.test_clocks import LIBRARIES, Clock


@scenario("F10")
async def jumps(stage: Stage) -> None:
    """One hour on, one back, 25 on, on one of two replicas under load; the monotonic clock goes on."""
    assert LIBRARIES, "libfaketime is not here"
    replica = stage.cluster.replicas[1]
    clock = await asyncio.to_thread(Clock, Path(stage.folder))
    plain = dict(replica.env)
    await asyncio.to_thread(replica.terminate)
    replica.env |= clock.env | {"FAKETIME_CACHE_DURATION": "1"}
    # Read at each look at the clock, the file would cost more than all else.
    del replica.env["FAKETIME_NO_CACHE"]
    try:
        await asyncio.to_thread(replica.start)
        await _jump(stage, clock)
    finally:
        await asyncio.to_thread(replica.terminate)
        replica.env = plain
        await asyncio.to_thread(replica.start)


async def _jump(stage: Stage, clock: Clock) -> None:
    acme = await stage.new_actor()
    limited = await stage.new_actor("Limited", rest_per_minute=20)
    sockets = stage.cluster.sockets
    chats = await new_chats(stage.database, acme, 10)
    talkers = [
        stage.talker(f"t{n}-{m}", acme, chat, bases=[sockets[m]]) for n, chat in enumerate(chats) for m in range(2)
    ]
    await all_ready(talkers)
    bare = await asyncio.to_thread(acme.new_chat)
    token = (await asyncio.to_thread(acme.rest, "POST", f"/{bare}/tokens", json={"ttl_seconds": 3600})).json()["token"]
    for jump in ("+1h", "-1h", "+25h"):
        # Half of them are written by the replica whose clock jumps, and each is heard at the other, too.
        asked = [(talker, await talker.post(lasting(6))) for talker in talkers[::3]]
        for talker, _ in asked:
            await talker.until(lambda talker=talker: talker.speaking, 30)
        await _set(clock, jump)
        asked += [(talker, await talker.post(message())) for talker in talkers]
        await asyncio.gather(*(talker.answered(post) for talker, post in asked))
        jumped = datetime.fromisoformat(talkers[1].timestamp) - datetime.now(UTC)
        stage.require(abs(jumped.total_seconds()) > 3000, f"the clock did not jump by {jump}")
        # A token's expiry is a time of the day, and each replica asks its own clock.
        admitted = [await _admits(base, token) for base in sockets]
        stage.require(admitted == [True, jump == "-1h"], f"{jump}: a token of an hour was admitted: {admitted}")
        await _set(clock, "+0")
    tries = await stage.database.run(
        lambda: set(Reply.objects.for_tenant(acme.tenant_id).values_list("tries", "epoch"))
    )
    stage.require(tries == {(1, 1)}, f"replies were begun again: {tries}")
    stage.require(not any(talker.closes for talker in talkers), "a socket was closed")
    passed = 0
    async with httpx.AsyncClient(**HTTP, headers={"X-API-Key": limited.tenant_key}) as http:
        for jump in ("+0", "+1h", "-1h"):
            await _set(clock, jump)
            answers = await asyncio.gather(
                *(http.get(f"{stage.cluster.replicas[n % 2].http}/api/v1/chats/") for n in range(20))
            )
            passed += sum(answer.status_code == 200 for answer in answers)
    clock.set("+0")
    stage.require(passed == 20, f"{passed} requests passed where 20 are allowed")
    stage.note("3 jumps: nothing begun again, no socket closed, 20 of 60 requests passed")


async def _admits(base: str, token: str) -> bool:
    async with websockets.connect(f"{base}/ws/chat?token={token}", compression=None, proxy=None) as socket:
        return json.loads(await socket.recv())["event_type"] == "connection_established"


async def _set(clock: Clock, jump: str) -> None:
    await asyncio.to_thread(clock.set, jump)
    await asyncio.sleep(1.2)  # as long as it may think of the old one
