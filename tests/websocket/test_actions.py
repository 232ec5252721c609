"""What a client may do besides talking: ping, and stop the reply that is being written."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from core.db.executor import in_thread
from tenants.models import CreditEntry
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model, NewTenant, history

SAY = {"say": "one two three four five six", "hold": True, "hold_after": 2}


async def begin(actor: Actor, model: Model, chat_id: str) -> tuple[Socket, str]:
    """A socket on which a reply has said two words and goes no further, and the reply's id."""
    socket = await actor.join(chat_id)
    await socket.send({"content": model.script(**SAY)})
    started = await socket.until("message_stream_started")
    while "".join(event["token"] for event in socket.of_type("message_stream_token")) != "one two ":
        await socket.next()
    return socket, started["message_id"]


@pytest.mark.parametrize("frame", [{"action": "ping"}, {"type": "ping"}, {"event_type": "ping", "timestamp": 1}])
async def test_a_ping_is_answered_whatever_its_form(acme: Actor, frame: dict[str, Any]) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send(frame)
        assert (await socket.next())["event_type"] == "pong"


async def test_a_ping_is_answered_only_to_who_sent_it(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as one, await acme.join(chat_id) as other:
        await one.quiet()
        assert await other.quiet() == []


async def test_a_ping_is_answered_while_a_reply_streams(acme: Actor, model: Model) -> None:
    socket, _ = await begin(acme, model, acme.new_chat())
    async with socket:
        assert await socket.quiet() == []
        model.release()
        await socket.until("message_stream_ended")


@pytest.mark.parametrize("named", [False, True])
async def test_a_stop_ends_the_reply_with_what_was_said(acme: Actor, model: Model, named: bool) -> None:
    chat_id = acme.new_chat()
    socket, reply_id = await begin(acme, model, chat_id)
    async with socket:
        await socket.send({"action": "stop", **({"message_id": reply_id} if named else {})})
        ended = await socket.until("message_stream_ended")
    assert (ended["message_id"], ended["content"], ended["stopped"]) == (reply_id, "one two ", True)
    assert ended["metadata"]["stopped"] is True
    assert socket.of_type("error") == []
    assert history(acme, chat_id)[1]["content"] == "one two "


async def test_after_a_stop_nobody_listens_to_the_model(acme: Actor, model: Model) -> None:
    socket, _ = await begin(acme, model, acme.new_chat())
    async with socket:
        await socket.send({"action": "stop"})
        await socket.until("message_stream_ended")
    await model.left()
    assert len(model.calls()) == 1


async def test_anybody_on_the_chat_may_stop_a_reply(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    socket, reply_id = await begin(acme, model, chat_id)
    async with socket, await acme.join(chat_id, "bob") as bob:
        await bob.send({"action": "stop"})
        for listener in (bob, socket):
            ended = await listener.until("message_stream_ended")
            assert (ended["message_id"], ended["stopped"]) == (reply_id, True)


async def test_who_waits_is_answered_after_a_stop(acme: Actor, model: Model) -> None:
    socket, _ = await begin(acme, model, acme.new_chat())
    async with socket:
        await socket.send({"content": "waiting"})
        await socket.until("message_received", content="waiting")
        await socket.send({"action": "stop"})
        await socket.until("message_stream_ended", stopped=True)
        ended = await socket.until("message_stream_ended")
    assert ended["content"] == "You said: waiting"
    assert "stopped" not in ended


@pytest.mark.parametrize("other", ["random", "the question", "malformed"])
async def test_a_stop_of_another_message_stops_nothing(acme: Actor, model: Model, other: str) -> None:
    socket, _ = await begin(acme, model, acme.new_chat())
    [received] = socket.of_type("message_received")
    message_id = {"random": str(uuid.uuid4()), "the question": received["message_id"]}.get(other, other)
    async with socket:
        await socket.send({"action": "stop", "message_id": message_id})
        # Frames are carried out in their order: when this one is stored, the stop has been, too.
        await socket.send({"content": "next"})
        await socket.until("message_received", content="next")
        model.release()
        ended = await socket.until("message_stream_ended")
    assert (ended["content"], "stopped" in ended) == (SAY["say"], False)
    assert socket.of_type("error") == []


async def test_a_stop_does_not_reach_another_chat(acme: Actor, globex: Actor, model: Model) -> None:
    socket, reply_id = await begin(acme, model, acme.new_chat())
    own, foreign = await acme.join(acme.new_chat()), await globex.join(globex.new_chat())
    async with socket, own, foreign:
        for other in (own, foreign):
            await other.send({"action": "stop", "message_id": reply_id})
            await other.say("Hello")
        model.release()
        assert "stopped" not in await socket.until("message_stream_ended")


async def test_a_stop_where_nothing_is_written_does_nothing(acme: Actor) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send({"action": "stop"})
        ended = await socket.say("Hello")
        await socket.send({"action": "stop", "message_id": ended["message_id"]})
        again = await socket.say("Hello again")
    assert "stopped" not in ended
    assert "stopped" not in again
    assert socket.of_type("error") == []


async def test_two_stops_are_one(acme: Actor, model: Model) -> None:
    socket, reply_id = await begin(acme, model, acme.new_chat())
    async with socket:
        for _ in range(2):
            await socket.send({"action": "stop", "message_id": reply_id})
        assert "stopped" not in await socket.say("Hello")
    assert [event["content"] for event in socket.of_type("message_stream_ended")] == ["one two ", "You said: Hello"]


async def test_a_stopped_reply_costs_what_was_said(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(credits=1000)
    socket, reply_id = await begin(acme, model, acme.new_chat())
    async with socket:
        await socket.send({"action": "stop"})
        ended = await socket.until("message_stream_ended")
    entry = await in_thread(lambda: CreditEntry.objects.for_tenant(acme.tenant_id).get(reason="reply"))
    assert str(entry.reply_id) == reply_id
    assert 0 < -entry.amount == ended["metadata"]["tokens_used"] < 1000
