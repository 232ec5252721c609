"""`?after=`: who says what they have is told what they missed, and then what comes."""

from __future__ import annotations

from typing import Any

import pytest

from chats.chats import find_or_create_user
from chats.models import Chat, Message
from core.db.executor import in_thread
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model


def tell(actor: Actor, chat_id: str, count: int) -> None:
    """So many messages of Alice's in the history, as if they had been sent and not answered."""
    user, _ = find_or_create_user(tenant_id=actor.tenant_id, external_id="alice")
    Message.objects.for_tenant(actor.tenant_id).bulk_create(
        Message(
            tenant_id=actor.tenant_id, chat_id=chat_id, sequence=number, role="user", user=user, content=f"m{number}"
        )
        for number in range(1, count + 1)
    )
    Chat.objects.for_tenant(actor.tenant_id).filter(id=chat_id).update(last_sequence=count)


async def back(actor: Actor, chat_id: str, after: int) -> Socket:
    """A socket that came back and has been told what it missed."""
    socket = await actor.join(chat_id, after=str(after))
    await socket.until("replay_ended")
    return socket


def sequences(socket: Socket) -> list[int]:
    return [event["sequence"] for event in socket.events if "sequence" in event]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
async def test_what_was_missed_is_told_in_order_and_once(acme: Actor, model: Model, after: int) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.say(model.script(say="first reply"))
        await socket.say(model.script(say="second reply"))
    socket = await back(acme, chat_id, after)
    assert sequences(socket) == list(range(after + 1, 5))
    assert socket.events[-1]["complete"] is True


async def test_a_reply_is_told_as_started_one_token_and_ended(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        ended = await socket.say(model.script(say="all of it"))
    socket = await back(acme, chat_id, 1)
    started, token, told = socket.events[1:4]
    assert (started["event_type"], "resumed" in started) == ("message_stream_started", False)
    assert (token["event_type"], token["token"], token["offset"]) == ("message_stream_token", "all of it", 0)
    assert {**told, "timestamp": ""} == {**ended, "timestamp": ""}
    assert started["message_id"] == token["message_id"] == told["message_id"]


async def test_an_empty_reply_is_told_without_a_token(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.say(model.script(fail="http-500"))
    socket = await back(acme, chat_id, 1)
    assert [event["event_type"] for event in socket.events[1:]] == [
        "message_stream_started",
        "message_stream_ended",
        "replay_ended",
    ]
    assert socket.events[2]["failed"] is True


async def test_the_running_reply_follows_what_was_missed(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as asked:
        await asked.send({"content": model.script(say="one two three", hold=True, hold_after=2)})
        while "two " not in "".join(event["token"] for event in asked.of_type("message_stream_token")):
            await asked.next()
        socket = await back(acme, chat_id, 0)
        started, token = await socket.next(), await socket.next()
        assert (started["event_type"], started["resumed"], token["token"]) == (
            "message_stream_started",
            True,
            "one two ",
        )
        model.release()
        ended = await socket.until("message_stream_ended")
    assert sequences(socket) == [1, 2]
    assert ended["content"] == "one two three"


@pytest.mark.parametrize(("count", "complete"), [(500, True), (501, False), (620, False)])
async def test_the_oldest_five_hundred_are_told(acme: Actor, count: int, complete: bool) -> None:
    chat_id = acme.new_chat()
    await in_thread(tell, acme, chat_id, count)
    socket = await back(acme, chat_id, 0)
    assert sequences(socket) == list(range(1, 501))
    assert socket.events[-1]["complete"] is complete
    rest = acme.rest("GET", f"/{chat_id}/messages?offset=500&limit=100").json()["messages"]
    assert len(rest) == min(count - 500, 100)


async def test_what_comes_after_an_incomplete_replay_is_told_as_it_comes(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    await in_thread(tell, acme, chat_id, 510)
    socket = await back(acme, chat_id, 0)
    await socket.say(model.script(say="new"))
    assert sequences(socket)[-2:] == [511, 512]


async def test_who_has_more_than_there_is_misses_nothing(acme: Actor) -> None:
    socket = await back(acme, acme.new_chat(), 7)
    assert [event["event_type"] for event in socket.events] == ["connection_established", "replay_ended"]
    assert socket.events[-1]["complete"] is True


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "١", "9" * 12, " 1", "2147483648"])
async def test_a_cursor_that_is_none_closes_with_4400(acme: Actor, after: str) -> None:
    address: dict[str, Any] = {"api_key": acme.tenant_key, "user_id": "alice", "chat_id": acme.new_chat()}
    socket = await Socket.open(acme.ws, **address, after=after)
    assert await socket.closed() == (4400, "INVALID_REQUEST")
    assert list(socket.events[0]["details"]["fields"]) == ["after"]
