"""Redis carries hints: without it, nothing is lost and nobody is sent away."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Callable

import httpx
import pytest
import redis

from core.db.executor import in_thread
from tenants.models import Tenant
from tests.cluster.conftest import OwnRedis, fall_asleep
from tests.cluster.test_live import TEXT, Pair, opened, release, until_said
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, script
from tests.support.servers import Server


async def redis_state(server: Server) -> str:
    async with httpx.AsyncClient(verify=False) as client:
        answer = await client.get(server.http + "/readyz")
    assert answer.status_code == 200
    return answer.json()["redis"]


@pytest.fixture(params=["killed", "hanging"])
def away(request: pytest.FixtureRequest, own_redis: OwnRedis) -> Callable[[], None]:
    """Takes Redis away, in either of two ways."""
    return own_redis.kill if request.param == "killed" else own_redis.pause


@pytest.fixture
def back(away: Callable[[], None], own_redis: OwnRedis) -> Callable[[], None]:
    """Brings it back: empty, where it was killed."""
    return own_redis.start if away == own_redis.kill else own_redis.go_on


async def test_readiness_tells_of_redis_and_does_not_depend_on_it(pair: Pair, own_redis: OwnRedis) -> None:
    assert await redis_state(pair[0]) == "up"
    own_redis.kill()

    async def is_told() -> bool:
        return await redis_state(pair[0]) == "away"

    await eventually(is_told)


async def test_a_reply_is_heard_elsewhere_while_redis_is_away(
    pair: Pair, acme: Actor, model_server: str, away: Callable[[], None]
) -> None:
    first, second = pair
    chat, name = await in_thread(acme.new_chat), uuid.uuid4().hex
    here, there = await opened(first, acme, chat), await opened(second, acme, chat)
    away()
    await here.send({"content": script(say=TEXT, hold=name)})
    # From the checkpoints: nothing else has it, and the reply goes on only when it was heard.
    await until_said(there, "word0")
    await release(model_server, name)
    for socket in (here, there):
        assert (await socket.until("message_stream_ended"))["content"] == socket.folded() == TEXT


async def test_redis_lost_and_found_in_the_middle_of_a_reply_loses_nothing(
    pair: Pair, acme: Actor, model_server: str, away: Callable[[], None], back: Callable[[], None]
) -> None:
    first, second = pair
    chat, name = await in_thread(acme.new_chat), uuid.uuid4().hex
    here, there = await opened(first, acme, chat), await opened(second, acme, chat)
    await here.send({"content": script(say=TEXT, hold=name, every_ms=20)})
    await until_said(there, "word0")
    away()
    # New sockets are accepted, and hear what was said so far.
    late = await opened(second, acme, chat)
    await until_said(late, "word0")
    await release(model_server, name)
    await until_said(here, "word0 word1 word2")
    await in_thread(back)
    for socket in (here, there, late):
        assert (await socket.until("message_stream_ended"))["content"] == socket.folded() == TEXT
    # The same sockets are there for the next reply, live again.
    again = uuid.uuid4().hex
    await there.send({"content": script(say="here again and", hold=again)})
    await here.until("message_stream_started")
    await here.until("message_stream_token")
    await release(model_server, again)
    await here.until("message_stream_ended", content="here again and")


async def test_a_stop_elsewhere_is_heeded_while_redis_is_away(pair: Pair, acme: Actor, own_redis: OwnRedis) -> None:
    first, second = pair
    chat = await in_thread(acme.new_chat)
    here, there = await opened(first, acme, chat), await opened(second, acme, chat)
    own_redis.kill()
    await here.send({"content": script(say=TEXT, hold=uuid.uuid4().hex)})
    await here.until("message_stream_token")
    await there.send({"action": "stop"})
    for socket in (here, there):
        assert (await socket.until("message_stream_ended"))["stopped"] is True


async def test_a_process_that_starts_without_redis_serves_and_finds_it_later(
    new_process: Callable[..., Server], acme: Actor, own_redis: OwnRedis, model_server: str
) -> None:
    own_redis.kill()
    first = await in_thread(new_process)
    second = await in_thread(new_process)
    acme.base = first.http
    chat = await in_thread(acme.new_chat)
    here, there = await opened(first, acme, chat), await opened(second, acme, chat)
    await here.say(script(say="one"))
    await there.until("message_stream_ended", content="one")
    await in_thread(own_redis.start)
    name = uuid.uuid4().hex
    await here.send({"content": script(say=TEXT, hold=name)})
    await until_said(there, "word0")
    await release(model_server, name)
    assert (await there.until("message_stream_ended"))["content"] == TEXT


async def test_a_wake_up_that_is_lost_is_made_up_for(pair: Pair, acme: Actor, own_redis: OwnRedis) -> None:
    """Redis hears nobody's subscription any more: what is said elsewhere comes with the next look."""
    first, second = pair
    chat = await in_thread(acme.new_chat)
    here, there = await opened(first, acme, chat), await opened(second, acme, chat)
    with redis.Redis.from_url(own_redis.url) as client:
        client.acl_setuser(
            "default", enabled=True, nopass=True, keys="*", channels="", categories=["+@all"], reset_channels=True
        )
        client.client_kill_filter(_type="pubsub", skipme=False)
        await here.say(script(say=TEXT))
        assert (await there.until("message_stream_ended"))["content"] == there.folded() == TEXT


# --- Limits ---


async def test_of_300_requests_over_two_processes_exactly_100_pass(pair: Pair, acme: Actor) -> None:
    await in_thread(lambda: Tenant.objects.filter(id=acme.tenant_id).update(rest_per_minute=100))
    limits = httpx.Limits(max_connections=32)
    async with httpx.AsyncClient(
        verify=False, limits=limits, headers={"X-API-Key": acme.tenant_key}, timeout=60
    ) as client:
        addresses = [f"{pair[number % 2].http}/api/v1/chats/user/alice" for number in range(300)]
        answers = await asyncio.gather(*(client.get(address) for address in addresses))
    passed = [answer for answer in answers if answer.status_code == 404]
    assert len(passed) == 100
    assert sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in passed) == list(range(100))
    assert {answer.status_code for answer in answers} == {404, 429}
    assert all(0 < int(answer.headers["X-RateLimit-Reset"]) <= 60 for answer in answers)


async def test_without_redis_each_process_keeps_the_limit(pair: Pair, acme: Actor, away: Callable[[], None]) -> None:
    await in_thread(lambda: Tenant.objects.filter(id=acme.tenant_id).update(rest_per_minute=5))
    away()
    async with httpx.AsyncClient(verify=False, headers={"X-API-Key": acme.tenant_key}, timeout=60) as client:
        for server in pair:
            answers = [await client.get(f"{server.http}/api/v1/chats/user/alice") for _ in range(8)]
            assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 3


async def test_sixty_sockets_at_once_over_two_processes_are_fifty(pair: Pair, acme: Actor) -> None:
    await in_thread(lambda: Tenant.objects.filter(id=acme.tenant_id).update(ws_connections=50))
    chat = await in_thread(acme.new_chat)
    sockets = await asyncio.gather(
        *(
            Socket.open(pair[number % 2].ws, api_key=acme.tenant_key, user_id="alice", chat_id=chat)
            for number in range(60)
        )
    )
    first = [await socket.next() for socket in sockets]
    kinds = [event.get("error_code", event["event_type"]) for event in first]
    assert sorted(set(kinds)) == ["CONNECTION_LIMIT_EXCEEDED", "connection_established"]
    assert kinds.count("connection_established") == 50


# --- A process dies ---


async def test_a_killed_process_reply_is_taken_over_and_heard_elsewhere(
    pair: Pair, acme: Actor, model_server: str
) -> None:
    first, second = pair
    chat, name = await in_thread(acme.new_chat), uuid.uuid4().hex
    here, there = await opened(first, acme, chat), await opened(second, acme, chat)
    await here.send({"content": script(say=TEXT, hold=name)})
    await until_said(there, "word0")
    first.kill()
    await there.until("message_stream_started", resumed=True)
    await release(model_server, name)
    assert (await there.until("message_stream_ended"))["content"] == there.folded() == TEXT
    acme.base = second.http
    history = (await in_thread(acme.rest, "GET", f"/{chat}/messages")).json()["messages"]
    assert [message["sequence"] for message in history] == [1, 2]


async def test_a_sleeper_that_wakes_is_not_heard_elsewhere(
    new_process: Callable[..., Server], acme: Actor, model_server: str
) -> None:
    """Three processes: one falls asleep while it writes, one takes over, and one has the sockets."""
    sleeper = await in_thread(new_process)
    acme.base = sleeper.http
    chat, name = await in_thread(acme.new_chat), uuid.uuid4().hex
    here = await opened(sleeper, acme, chat)
    await here.send({"content": script(say=TEXT, hold=name, every_ms=5)})
    await until_said(here, "word0")
    others = [await in_thread(new_process) for _ in range(2)]
    listeners = [await opened(server, acme, chat) for server in others]
    await in_thread(fall_asleep, sleeper)
    for listener in listeners:
        # The first start it heard on joining; this is the new try's.
        await listener.until("message_stream_started")
        await listener.until("message_stream_started")
    sleeper.signal(signal.SIGCONT)
    await release(model_server, name)
    for listener in listeners:
        assert (await listener.until("message_stream_ended"))["content"] == listener.folded() == TEXT
        assert [event["resumed"] for event in listener.of_type("message_stream_started")] == [True, True]
        assert len(listener.of_type("message_stream_ended")) == 1

    async def settled() -> bool:
        return (await redis_state(sleeper)) == "up"

    await eventually(settled)
