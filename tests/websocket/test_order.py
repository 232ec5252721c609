"""Guarantee 1: one order, the same for everybody, and replies that are never woven together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from itertools import chain
from typing import Any

import pytest

from core.db.executor import in_thread
from tests.support.actors import Actor
from tests.support.client import Socket, script
from tests.websocket.conftest import Model, NewTenant, history

#: It holds on both servers.
pytestmark = pytest.mark.daphne

Event = dict[str, Any]


def sequences(events: Iterable[Event]) -> list[int]:
    return [event["sequence"] for event in events if "sequence" in event]


def check_stream(events: list[Event]) -> None:
    """No reply starts before its question was received, and between its start and its end there is no other."""
    received: set[str] = set()
    running: str | None = None
    for event in events:
        match event["event_type"]:
            case "message_received":
                received.add(event["message_id"])
            case "message_stream_started":
                assert running is None
                assert event["reply_to"] in received or event.get("author") == "human"
                running = event["message_id"]
            case "message_stream_token":
                assert event["message_id"] == running
            case "message_stream_ended":
                assert event["message_id"] == running
                running = None
    assert running is None


def untimed(events: list[Event]) -> list[Event]:
    """What does not depend on how fast a socket was read: all but timestamps, and tokens joined or not."""
    return [
        {name: value for name, value in event.items() if name != "timestamp"}
        for event in events
        if event["event_type"] != "message_stream_token"
    ]


async def test_eight_sockets_with_25_messages_each_hear_one_order(new_tenant: NewTenant) -> None:
    acme = await new_tenant(queue_depth=200)
    chat_id = acme.new_chat()
    sockets = [await acme.join(chat_id, f"user{number}") for number in range(8)]
    for socket in sockets:
        await socket.quiet()
        socket.events.clear()

    async def talk(socket: Socket, number: int) -> None:
        for count in range(25):
            # Most replies fail at once, so that 200 of them take seconds; they start and end like all others.
            directives = {} if count % 12 == 0 else {"fail": "http-500"}
            await socket.send({"content": script(say=f"{number}/{count}", **directives)})
        while len(socket.of_type("message_stream_ended")) < 200:
            await socket.next()

    async with asyncio.timeout(60):
        await asyncio.gather(*(talk(socket, number) for number, socket in enumerate(sockets)))
    await asyncio.gather(*(socket.close() for socket in sockets))

    for socket in sockets:
        assert sequences(socket.events) == list(range(1, 401))
        check_stream(socket.events)
        assert untimed(socket.events) == untimed(sockets[0].events)
    stored = [(row["sequence"], row["id"], row["content"]) for row in history(acme, chat_id)]
    heard = [event for event in sockets[0].events if "sequence" in event]
    assert stored == [(event["sequence"], event["message_id"], event["content"]) for event in heard]
    for number in range(8):
        own = [
            event["content"] for event in sockets[0].of_type("message_received") if event["user_id"] == f"user{number}"
        ]
        assert [json.loads(content)["say"] for content in own] == [f"{number}/{count}" for count in range(25)]


async def test_what_is_sent_while_a_reply_streams_is_acknowledged_at_once_and_answered_in_order(
    acme: Actor, model: Model
) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send({"content": model.script(say="one two three", hold=True)})
        await socket.until("message_stream_token")
        for content in ("first", "second", "third"):
            await socket.send({"content": content})
        waiting = [await socket.until("message_received") for _ in range(3)]
        assert [(event["content"], event["sequence"]) for event in waiting] == [
            ("first", 2),
            ("second", 3),
            ("third", 4),
        ]
        assert socket.of_type("message_stream_ended") == []
        model.release()
        ended = [await socket.until("message_stream_ended") for _ in range(4)]
    assert [event["content"] for event in ended] == [
        "one two three",
        "You said: first",
        "You said: second",
        "You said: third",
    ]
    assert [event["reply_to"] for event in ended[1:]] == [event["message_id"] for event in waiting]
    assert sequences(socket.events) == list(range(1, 9))
    check_stream(socket.events)


async def test_a_message_that_finds_too_many_waiting_is_refused(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(queue_depth=2)
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.send({"content": model.script(say="one two", hold=True)})
        for content in ("first", "second"):
            await socket.send({"content": content})
            await socket.until("message_received", content=content)
        await socket.send({"content": "one too many", "client_message_id": "m1"})
        error = await socket.until("error")
        assert (error["error_code"], error["details"]["client_message_id"]) == ("RATE_LIMIT_EXCEEDED", "m1")
        assert error["details"]["retry_after"] >= 1
        model.release()
        for content in ("one two", "You said: first", "You said: second"):
            await socket.until("message_stream_ended", content=content)
        await socket.say("there is room again")
    assert "one too many" not in [row["content"] for row in history(acme, chat_id)]


async def test_ten_messages_may_wait_unless_the_tenant_says_otherwise(acme: Actor, model: Model) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send({"content": model.script(say="one two", hold=True)})
        for number in range(11):
            await socket.send({"content": f"waiting {number}"})
        while len(socket.of_type("message_received")) < 11 or not socket.of_type("error"):
            await socket.next()
        received = [event["content"] for event in socket.of_type("message_received")]
        assert received[1:] == [f"waiting {number}" for number in range(10)]
        assert [event["error_code"] for event in socket.of_type("error")] == ["RATE_LIMIT_EXCEEDED"]
        model.release()
        await socket.until("message_stream_ended", content="You said: waiting 9")


async def test_a_message_of_the_customer_face_is_heard_on_sockets(acme: Actor) -> None:
    conversation = acme.new_conversation(customerIdentifier="carol")
    async with await acme.join(conversation) as socket:
        answer = await in_thread(acme.customer, "POST", f"/{conversation}/messages", json={"message": "Hello"})
        ended = await socket.until("message_stream_ended")
    assert ended["content"] == "You said: Hello"
    [received] = socket.of_type("message_received")
    assert received["message_id"] == answer.headers["X-Message-Id"]
    assert (received["user_id"], received["content"], received["sequence"]) == ("carol", "Hello", 1)
    check_stream(socket.events)


async def test_sockets_of_a_conversation_and_its_customer_share_one_order(acme: Actor) -> None:
    conversation = acme.new_conversation(customerIdentifier="carol")

    async def post(number: int) -> None:
        body = {"message": f"customer {number}"}
        assert (await in_thread(acme.customer, "POST", f"/{conversation}/messages", json=body)).status_code == 200

    async with await acme.join(conversation) as socket:
        posting = asyncio.gather(*(post(number) for number in range(3)))
        for number in range(3):
            await socket.send({"content": f"socket {number}"})
        while len(socket.of_type("message_stream_ended")) < 6:
            await socket.next()
        await posting
    assert sequences(socket.events) == list(range(1, 13))
    check_stream(socket.events)
    heard = [event["message_id"] for event in socket.events if "sequence" in event]
    assert heard == [row["id"] for row in history(acme, conversation)]


async def test_the_model_sees_each_question_with_its_reply(acme: Actor, model: Model) -> None:
    said = ["one two", "second reply", "third reply", "fourth reply"]
    asked = [model.script(say=said[0], hold=True), *(model.script(say=say) for say in said[1:])]
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send({"content": asked[0]})
        await socket.until("message_stream_token")
        for content in asked[1:3]:
            await socket.send({"content": content})
            await socket.until("message_received", content=content)
        model.release()
        await socket.until("message_stream_ended", content=said[2])
        await socket.say(asked[3])
    pairs = [[("user", question), ("assistant", reply)] for question, reply in zip(asked, said, strict=True)]
    assert model.turns() == [[*chain(*pairs[:number]), ("user", asked[number])] for number in range(4)]


async def test_stream_events_name_the_user_who_asked_for_every_listener(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id, "alice") as alice, await acme.join(chat_id, "bob") as bob:
        await bob.say("Hello")
        await alice.until("message_stream_ended")
    for socket in (alice, bob):
        streamed = [
            event for event in socket.events if event["event_type"].startswith("message_") and "user_id" in event
        ]
        assert {event["event_type"] for event in streamed} == {
            "message_received",
            "message_stream_started",
            "message_stream_ended",
        }
        assert {event["user_id"] for event in streamed} == {"bob"}


async def test_chats_do_not_hear_each_other(acme: Actor, globex: Actor) -> None:
    other, foreign = await acme.join(acme.new_chat()), await globex.join(globex.new_chat())
    async with await acme.join(acme.new_chat()) as socket, other, foreign:
        await socket.say("Hello")
        assert [event["event_type"] for event in await other.quiet() + await foreign.quiet()] == []


async def test_replies_of_different_chats_stream_side_by_side(acme: Actor, model: Model) -> None:
    async with await acme.join(acme.new_chat()) as held, await acme.join(acme.new_chat()) as free:
        await held.send({"content": model.script(say="one two", hold=True)})
        await held.until("message_stream_token")
        await free.say("Hello")
        assert [event["event_type"] for event in await held.quiet()] == []
        model.release()
        await held.until("message_stream_ended")
