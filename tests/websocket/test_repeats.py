"""Guarantee 5: what was acknowledged is stored, and the same client_message_id is one message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.db.executor import in_thread
from tenants.models import Account, CreditEntry
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model, NewTenant, history


async def send_again(socket: Socket, frame: dict[str, Any]) -> dict[str, Any]:
    """Send the frame, and read to its acknowledgement."""
    await socket.send(frame)
    return await socket.until("message_received")


async def test_a_repeat_is_acknowledged_again_with_the_same_message_id(acme: Actor) -> None:
    frame = {"content": "Hello", "client_message_id": "m1", "metadata": {"a": 1, "b": 2}}
    async with await acme.join(acme.new_chat()) as socket:
        first = await send_again(socket, frame)
        await socket.until("message_stream_ended")
        again = await send_again(socket, {**frame, "metadata": {"b": 2, "a": 1}})
    assert {**again, "timestamp": ""} == {**first, "timestamp": ""}


async def test_a_repeat_is_stored_answered_and_charged_once(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(credits=1000)
    chat_id = acme.new_chat()
    frame = {"content": model.script(say="one two"), "client_message_id": "m1"}
    async with await acme.join(chat_id) as socket:
        await send_again(socket, frame)
        await socket.until("message_stream_ended")
        for _ in range(3):
            await send_again(socket, frame)
        assert (await socket.say("Hello"))["sequence"] == 4
    assert [row["content"] for row in history(acme, chat_id)][:2] == [frame["content"], "one two"]
    assert len(model.calls()) == 1
    charges = await in_thread(lambda: CreditEntry.objects.for_tenant(acme.tenant_id).filter(reason="reply").count())
    assert charges == 2


async def test_only_the_socket_that_repeats_hears_of_it(acme: Actor) -> None:
    chat_id = acme.new_chat()
    frame = {"content": "Hello", "client_message_id": "m1"}
    async with await acme.join(chat_id) as repeats, await acme.join(chat_id) as listens:
        await send_again(repeats, frame)
        for socket in (repeats, listens):
            await socket.until("message_stream_ended")
        await send_again(repeats, frame)
        assert await listens.quiet() == []


async def test_fifty_at_once_from_two_sockets_are_one_message_one_call_and_one_charge(
    new_tenant: NewTenant, model: Model
) -> None:
    acme = await new_tenant(credits=1000)
    chat_id = acme.new_chat()
    frame = {"content": model.script(say="one two"), "client_message_id": "m1"}

    async def repeat(socket: Socket, name: str) -> None:
        await asyncio.gather(*(socket.send(frame) for _ in range(25)))
        await socket.say(f"That was all of {name}")  # When this is answered, all before it was.

    async with await acme.join(chat_id, "alice") as one, await acme.join(chat_id, "alice") as other:
        await asyncio.gather(repeat(one, "one"), repeat(other, "the other"))
    told = [
        [event["message_id"] for event in socket.of_type("message_received") if event["content"] == frame["content"]]
        for socket in (one, other)
    ]
    # Both heard of the message, and one of them of 24 repeats of its own, the other of 25.
    assert sorted(len(ids) for ids in told) == [25, 26]
    assert len(set(told[0] + told[1])) == 1
    assert one.of_type("error") + other.of_type("error") == []
    assert [row["content"] for row in history(acme, chat_id)].count(frame["content"]) == 1
    assert [row["content"] for row in history(acme, chat_id)].count("one two") == 1
    assert len(model.calls()) == 1
    charges = CreditEntry.objects.for_tenant(acme.tenant_id).filter(reason="reply")
    assert await in_thread(charges.count) == 3  # with the two that were said last


async def test_a_repeat_while_the_reply_streams_does_not_start_it_again(acme: Actor, model: Model) -> None:
    frame = {"content": model.script(say="one two", hold=True), "client_message_id": "m1"}
    async with await acme.join(acme.new_chat()) as socket:
        first = await send_again(socket, frame)
        await socket.until("message_stream_token")
        assert (await send_again(socket, frame))["message_id"] == first["message_id"]
        model.release()
        await socket.until("message_stream_ended")
        assert await socket.quiet() == []
    assert len(socket.of_type("message_stream_started")) == 1


async def test_a_client_that_comes_back_may_send_again_what_it_does_not_know_to_be_stored(acme: Actor) -> None:
    chat_id = acme.new_chat()
    frame = {"content": "Hello", "client_message_id": "m1"}
    async with await acme.join(chat_id) as socket:
        first = await send_again(socket, frame)
    async with await acme.join(chat_id) as back:
        assert (await send_again(back, frame))["message_id"] == first["message_id"]
    assert [row["content"] for row in history(acme, chat_id)].count("Hello") == 1


@pytest.mark.parametrize("change", [{"content": "Hello!"}, {"metadata": {"a": 2}}, {"metadata": {}}])
async def test_the_same_id_with_something_else_is_refused(acme: Actor, change: dict[str, Any]) -> None:
    chat_id = acme.new_chat()
    frame = {"content": "Hello", "client_message_id": "m1", "metadata": {"a": 1}}
    async with await acme.join(chat_id) as socket:
        await send_again(socket, frame)
        await socket.until("message_stream_ended")
        await socket.send({**frame, **change})
        error = await socket.next()
        assert (error["event_type"], error["error_code"]) == ("error", "INVALID_REQUEST")
        assert error["details"]["client_message_id"] == "m1"
        assert (await socket.say("Still there?"))["sequence"] == 4
    assert len(history(acme, chat_id)) == 4


async def test_another_users_same_id_is_another_message(acme: Actor) -> None:
    chat_id = acme.new_chat()
    frame = {"content": "Hello", "client_message_id": "m1"}
    async with await acme.join(chat_id, "alice") as alice, await acme.join(chat_id, "bob") as bob:
        first = await send_again(alice, frame)
        await bob.until("message_stream_ended")
        await bob.send(frame)
        second = await bob.until("message_received", user_id="bob")
        await bob.until("message_stream_ended")
    assert second["message_id"] != first["message_id"]
    assert [row["user_id"] for row in history(acme, chat_id)] == ["alice", "alice", "bob", "bob"]


async def test_the_same_id_in_another_chat_is_another_message(acme: Actor) -> None:
    frame = {"content": "Hello", "client_message_id": "m1"}
    async with await acme.join(acme.new_chat()) as one, await acme.join(acme.new_chat()) as other:
        first, second = await send_again(one, frame), await send_again(other, frame)
    assert first["message_id"] != second["message_id"]


async def test_a_message_that_was_refused_may_be_sent_again_with_its_id(new_tenant: NewTenant) -> None:
    acme = await new_tenant(credits=0)
    frame = {"content": "Hello", "client_message_id": "m1"}
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send(frame)
        await socket.until("error", error_code="PAYMENT_REQUIRED")
        await in_thread(lambda: Account.objects.filter(tenant_id=acme.tenant_id).update(balance=None))
        assert (await send_again(socket, frame))["sequence"] == 1


async def test_a_repeat_is_acknowledged_when_the_credits_are_used_up(new_tenant: NewTenant) -> None:
    acme = await new_tenant(credits=1)
    frame = {"content": "Hello", "client_message_id": "m1"}
    async with await acme.join(acme.new_chat()) as socket:
        first = await send_again(socket, frame)
        await socket.until("message_stream_ended")
        await socket.send({"content": "Another"})
        await socket.until("error", error_code="PAYMENT_REQUIRED")
        assert (await send_again(socket, frame))["message_id"] == first["message_id"]


async def test_a_repeat_is_acknowledged_when_the_chat_has_all_its_messages(new_tenant: NewTenant) -> None:
    acme = await new_tenant(message_limit=1)
    frame = {"content": "Hello", "client_message_id": "m1"}
    async with await acme.join(acme.new_chat()) as socket:
        first = await send_again(socket, frame)
        await socket.send({"content": "Another"})
        await socket.until("error", error_code="MESSAGE_LIMIT_REACHED")
        assert (await send_again(socket, frame))["message_id"] == first["message_id"]


async def test_a_repeat_is_acknowledged_when_too_many_wait(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(queue_depth=0)
    frame = {"content": model.script(say="one two", hold=True), "client_message_id": "m1"}
    async with await acme.join(acme.new_chat()) as socket:
        first = await send_again(socket, frame)
        await socket.send({"content": "Another"})
        await socket.until("error", error_code="RATE_LIMIT_EXCEEDED")
        assert (await send_again(socket, frame))["message_id"] == first["message_id"]
        model.release()
        await socket.until("message_stream_ended")
