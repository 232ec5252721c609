"""Guarantee 9: a chat that was handed to a person is silent until it is handed back."""

from __future__ import annotations

import uuid

import pytest

from chats.changes import change_chat
from chats.statuses import KEPT
from core.db.executor import in_thread
from tenants.models import Account
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model, NewTenant, Staff, history
from tests.websocket.test_order import check_stream

PERSON = "I want to talk to a person, please."


def statuses(socket: Socket) -> list[str]:
    return [event["status"] for event in socket.of_type("chat_status_changed")]


async def act(staff: Staff, chat_id: str, **form: str) -> None:
    await in_thread(staff.act, chat_id, **form)


@pytest.fixture
def shop(live: object) -> Actor:
    """A tenant whose built-in agent hands over whoever asks for a person."""
    assert callable(live)
    return live("Acme", model="builtin", credits=100)


async def reserved(actor: Actor) -> int:
    return (await in_thread(lambda: Account.objects.get(tenant_id=actor.tenant_id))).reserved


# --- By the agent ---


async def test_who_asks_for_a_person_is_answered_and_then_handed_over(shop: Actor) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as asks, await shop.join(chat_id) as listens:
        await asks.send({"content": PERSON})
        for socket in (asks, listens):
            ended = await socket.until("message_stream_ended")
            changed = await socket.next()
            assert ended["content"]
            assert {**changed, "timestamp": ""} == {
                "event_type": "chat_status_changed",
                "timestamp": "",
                "chat_id": chat_id,
                "status": "escalated",
            }
            assert statuses(socket) == ["escalated"]
    assert shop.rest("GET", f"/{chat_id}").json()["status"] == "escalated"


async def test_in_an_escalated_chat_messages_are_saved_and_acknowledged_and_get_no_reply(shop: Actor) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as socket:
        await socket.say(PERSON)
        for content in ("Are you there?", "Hello?"):
            await socket.send({"content": content})
            await socket.until("message_received", content=content)
        assert await socket.quiet() == []
        assert len(socket.of_type("message_stream_started")) == 1
    assert [row["content"] for row in history(shop, chat_id)][2:] == ["Are you there?", "Hello?"]
    assert await reserved(shop) == 0


async def test_in_an_escalated_chat_messages_cost_nothing(new_tenant: NewTenant) -> None:
    shop = await new_tenant(model="builtin", credits=1)
    async with await shop.join(shop.new_chat()) as socket:
        await socket.say(PERSON)
        await socket.until("chat_status_changed")
        await socket.send({"content": "Are you there?"})
        await socket.until("message_received", content="Are you there?")
    assert socket.of_type("error") == []


async def test_what_was_sent_right_after_asking_for_a_person_gets_no_reply(shop: Actor, staff: Staff) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as socket:
        for content in (PERSON, "Hello", "Hello again"):
            await socket.send({"content": content})
        await socket.until("chat_status_changed", status="escalated")
        while len(socket.of_type("message_received")) < 3:
            await socket.next()
        assert await reserved(shop) == 0
        await act(staff, chat_id, do="active")
        await socket.say("Thank you")
    assert [row["content"] for row in history(shop, chat_id) if row["sender_role"] == "user"] == [
        PERSON,
        "Hello",
        "Hello again",
        "Thank you",
    ]
    answered = [event["reply_to"] for event in socket.of_type("message_stream_ended")]
    received = [event["message_id"] for event in socket.of_type("message_received")]
    assert answered == [received[0], received[3]]


# --- By staff ---


async def test_a_chat_that_is_taken_over_answers_nothing_that_waits(
    new_tenant: NewTenant, model: Model, staff: Staff
) -> None:
    acme = await new_tenant(credits=100)
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.send({"content": model.script(say="one two three", hold=True)})
        await socket.until("message_stream_token")
        for number in range(3):
            await socket.send({"content": f"waiting {number}"})
            await socket.until("message_received", content=f"waiting {number}")
        await act(staff, chat_id, do="escalated")
        ended = await socket.until("message_stream_ended")
        assert (ended["content"], ended["stopped"]) == ("one ", True)
        while not statuses(socket):
            await socket.next()
        assert await reserved(acme) == 0
        await act(staff, chat_id, do="active")
        await socket.until("chat_status_changed", status="active")
        assert (await socket.say("Hello"))["content"] == "You said: Hello"
    assert statuses(socket) == ["escalated", "active"]
    said = [row["content"] for row in history(acme, chat_id) if row["sender_role"] == "assistant"]
    assert said == ["one ", "You said: Hello"]
    assert len(model.calls()) == 1


async def test_a_chat_that_is_handed_back_answers_what_comes_after(acme: Actor, staff: Staff) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await act(staff, chat_id, do="escalated")
        await socket.until("chat_status_changed", status="escalated")
        await socket.send({"content": "before"})
        await socket.until("message_received")
        await act(staff, chat_id, do="active")
        await socket.until("chat_status_changed", status="active")
        assert (await socket.say("after"))["content"] == "You said: after"
    assert [event["content"] for event in socket.of_type("message_stream_ended")] == ["You said: after"]


async def test_a_message_to_a_closed_chat_makes_it_active(acme: Actor, staff: Staff) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await act(staff, chat_id, do="closed")
        await socket.until("chat_status_changed", status="closed")
        assert (await socket.say("Hello"))["content"] == "You said: Hello"
        assert statuses(socket) == ["closed", "active"]
    assert acme.rest("GET", f"/{chat_id}").json()["status"] == "active"


async def test_a_message_to_an_escalated_chat_leaves_it_escalated(acme: Actor, staff: Staff) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await act(staff, chat_id, do="escalated")
        await socket.until("chat_status_changed")
        await socket.send({"content": "Hello"})
        await socket.until("message_received")
        await act(staff, chat_id, do="active")
        await socket.until("chat_status_changed", status="active")
    assert statuses(socket) == ["escalated", "active"]


async def test_a_change_is_told_once_to_every_socket_of_the_chat_and_to_no_other(acme: Actor, staff: Staff) -> None:
    chat_id = acme.new_chat()
    async with (
        await acme.join(chat_id) as one,
        await acme.join(chat_id, "bob") as other,
        await acme.join(acme.new_chat()) as elsewhere,
    ):
        await other.until("user_created")
        await act(staff, chat_id, do="escalated")
        for socket in (one, other):
            await socket.until("chat_status_changed", status="escalated")
        await act(staff, chat_id, do="escalated")
        await act(staff, chat_id, do="active")
        for socket in (one, other):
            assert (await socket.next())["status"] == "active"
        assert await elsewhere.quiet() == []


async def test_who_joins_an_escalated_chat_is_told_of_changes_only(acme: Actor, staff: Staff) -> None:
    chat_id = acme.new_chat()
    await act(staff, chat_id, do="escalated")
    async with await acme.join(chat_id) as socket:
        await act(staff, chat_id, do="active")
        assert (await socket.next())["status"] == "active"


# --- By the tenant's backend ---


async def test_a_backend_hands_a_chat_back_to_the_agent(shop: Actor) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as socket:
        await socket.say(PERSON)
        await socket.until("chat_status_changed", status="escalated")
        assert (await in_thread(shop.rest, "PATCH", f"/{chat_id}", json={"status": "active"})).status_code == 200
        await socket.until("chat_status_changed", status="active")
        assert (await socket.say("Hello"))["content"]


async def test_a_backend_closes_a_chat(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        assert (await in_thread(acme.rest, "PATCH", f"/{chat_id}", json={"status": "closed"})).status_code == 200
        await socket.until("chat_status_changed", status="closed")
        await socket.say("Hello")
        assert statuses(socket) == ["closed", "active"]


# --- A person's reply ---


async def test_a_persons_reply_arrives_like_any_other_and_names_its_author(acme: Actor, staff: Staff) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.say("Hello")
        await act(staff, chat_id, text="This is Bob.\nHow can I help? 🙂")
        ended = await socket.until("message_stream_ended", author="human")
    [started] = [event for event in socket.of_type("message_stream_started") if event.get("author") == "human"]
    tokens = [event for event in socket.of_type("message_stream_token") if event["message_id"] == ended["message_id"]]
    assert "".join(event["token"] for event in tokens) == ended["content"] == "This is Bob.\nHow can I help? 🙂"
    for event in (started, ended):
        assert (event["author_name"], event["user_id"], event["reply_to"]) == (staff.name, "alice", None)
        assert event["message_id"] == ended["message_id"]
    stored = history(acme, chat_id)[-1]
    assert (stored["id"], stored["sender_role"], stored["sequence"]) == (ended["message_id"], "assistant", 3)
    assert stored["metadata"] == ended["metadata"] == {"author": "human", "author_name": staff.name}
    check_stream(socket.events)


async def test_a_persons_reply_silences_the_agent_and_is_not_woven_into_its_reply(
    acme: Actor, model: Model, staff: Staff
) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.send({"content": model.script(say="one two three", hold=True)})
        await socket.until("message_stream_token")
        await act(staff, chat_id, text="Let me.")
        await socket.until("message_stream_ended", author="human")
        while not statuses(socket):
            await socket.next()
    assert [event["content"] for event in socket.of_type("message_stream_ended")] == ["one ", "Let me."]
    assert statuses(socket) == ["escalated"]
    check_stream(socket.events)


async def test_the_agent_knows_what_a_person_said(acme: Actor, model: Model, staff: Staff) -> None:
    chat_id = acme.new_chat()
    question = model.script(say="Fine")
    async with await acme.join(chat_id) as socket:
        await socket.say("Hello")
        await act(staff, chat_id, text="This is Bob.")
        await act(staff, chat_id, do="active")
        await socket.until("chat_status_changed", status="active")
        await socket.say(question)
    assert model.turns() == [
        [("user", "Hello"), ("assistant", "You said: Hello"), ("assistant", "This is Bob."), ("user", question)]
    ]


# --- Every change ---


def change(actor: Actor, chat_id: str, *statuses: str) -> None:
    """Change the status so often, unheard by the server until somebody reads the chat."""
    for status in statuses:
        change_chat(tenant_id=actor.tenant_id, chat_id=uuid.UUID(chat_id), status=status)


async def test_changes_within_one_moment_are_each_told_before_what_came_after_them(shop: Actor) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as socket:
        await in_thread(change, shop, chat_id, "escalated", "active", "escalated")
        await socket.send({"content": "are you there?"})
        await socket.until("message_received")
        assert [event["event_type"] for event in socket.events[1:]] == ["chat_status_changed"] * 3 + [
            "message_received"
        ]
        assert statuses(socket) == ["escalated", "active", "escalated"]


async def test_a_message_that_opens_a_closed_chat_is_told_before_the_change(shop: Actor) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as socket:
        await in_thread(change, shop, chat_id, "closed")
        await socket.send({"content": "one more thing"})
        await socket.until("chat_status_changed", status="active")
        kinds = [event["event_type"] for event in socket.events[1:]]
        assert kinds[: kinds.index("message_received") + 1] == ["chat_status_changed", "message_received"]
        assert statuses(socket) == ["closed", "active"]


async def test_of_more_changes_than_are_kept_the_latest_are_told_and_later_ones_once(shop: Actor) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as socket:
        before = ["escalated", "active"] * KEPT
        await in_thread(change, shop, chat_id, *before)
        await socket.say("hello")
        told = statuses(socket)
        # With Redis the server may have looked meanwhile, and told more.
        assert len(told) >= KEPT
        assert told == before[-len(told) :]
        await in_thread(change, shop, chat_id, "escalated")
        await socket.send({"content": "hello?"})
        await socket.until("message_received", content="hello?")
        assert statuses(socket) == [*told, "escalated"]
