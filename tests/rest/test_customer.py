"""Conversations of the customer face: made, read, and every documented refusal before a stream begins."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import httpx
import pytest

from chats.models import Chat, Message
from core.db.executor import in_thread
from tenants.models import Account
from tests.rest.wire import TIMESTAMP, UUID, assert_refused
from tests.support.actors import Actor
from tests.support.client import read_sse
from tests.support.servers import Server

NewActor = Callable[..., Actor]


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: what a conversation looks like is decided behind it."""
    return live_server_uvicorn


@pytest.fixture
def shop(live: NewActor) -> Actor:
    """A tenant whose conversations the built-in agent answers."""
    return live("Acme", model="builtin")


def say(actor: Actor, conversation_id: str, message: str = "hello") -> httpx.Response:
    return actor.customer("POST", f"/{conversation_id}/messages", json={"message": message})


def history(actor: Actor, conversation_id: str) -> dict:  # type: ignore[type-arg]
    return actor.customer("GET", f"/{conversation_id}/messages").json()


# --- Creating ---


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({}, b""),
        ({"Content-Type": "application/json"}, b""),
        ({"Content-Type": "application/json"}, b"{}"),
        ({"Content-Type": "application/json"}, b" \n"),
        ({"Content-Type": "application/json"}, b'{"customerIdentifier": null, "metadata": null, "unknown": 1}'),
    ],
)
def test_a_conversation_needs_no_body(acme: Actor, slash: str, headers: dict[str, str], content: bytes) -> None:
    answer = acme.customer("POST", slash, headers=headers, content=content)
    assert answer.status_code == 201
    conversation_id = answer.json()["conversationId"]
    assert UUID.fullmatch(conversation_id)
    assert answer.content == b'{"conversationId":"%b"}' % conversation_id.encode()
    assert answer.headers["Content-Type"] == "application/json"


def test_without_an_identifier_its_user_is_its_own_id(acme: Actor) -> None:
    conversation_id = acme.new_conversation()
    chat = acme.rest("GET", f"/{conversation_id}").json()
    assert (chat["user_id"], chat["title"], chat["config"]) == (conversation_id, "New chat", {"metadata": {}})


def test_with_an_identifier_that_is_its_user(acme: Actor) -> None:
    made = [acme.new_conversation(customerIdentifier="customer/7 ü") for _ in range(2)]
    answer = acme.rest("GET", "/user/customer%2F7%20%C3%BC?order=asc")
    assert [chat["id"] for chat in answer.json()["chats"]] == made


def test_its_metadata_is_the_chats(acme: Actor) -> None:
    conversation_id = acme.new_conversation(metadata={"plan": "gold"})
    assert acme.rest("GET", f"/{conversation_id}").json()["config"] == {"metadata": {"plan": "gold"}}


@pytest.mark.parametrize("value", ["", 7, [], {}, True, "x" * 256], ids=repr)
def test_an_impossible_identifier_is_refused(acme: Actor, value: object) -> None:
    answer = acme.customer("POST", "", json={"customerIdentifier": value})
    refusal = assert_refused(answer, 400, "INVALID_REQUEST", face="customer")
    assert "customerIdentifier" in refusal["error"]
    assert not Chat.objects.for_tenant(acme.tenant_id).exists()


def test_the_user_of_an_identifier_is_the_one_of_the_lexicon_face(acme: Actor) -> None:
    chat_id = acme.new_chat("alice")
    conversation_id = acme.new_conversation(customerIdentifier="alice")
    assert {chat["id"] for chat in acme.rest("GET", "/user/alice").json()["chats"]} == {chat_id, conversation_id}


# --- History ---


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_new_conversation_has_an_empty_history(acme: Actor, slash: str) -> None:
    answer = acme.customer("GET", f"/{acme.new_conversation()}/messages{slash}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.content == b'{"messages":[],"status":"active"}'


def test_the_history_is_what_was_said_oldest_first(shop: Actor) -> None:
    conversation_id = shop.new_conversation()
    said = []
    for message in ("hello", "  Grüße 🙂\n"):
        events = read_sse(say(shop, conversation_id, message).content)
        said += [("user", message), ("assistant", "".join(data["text"] for _, data in events[:-1]))]
    answer = shop.customer("GET", f"/{conversation_id}/messages")
    body = answer.json()
    assert list(body) == ["messages", "status"]
    assert [list(message) for message in body["messages"]] == [["role", "content", "createdAt"]] * 4
    assert [(message["role"], message["content"]) for message in body["messages"]] == said
    times = [message["createdAt"] for message in body["messages"]]
    assert all(TIMESTAMP.fullmatch(time) for time in times)
    assert times == sorted(times)
    assert answer.content == json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def test_a_reply_without_text_is_left_out(acme: Actor) -> None:
    conversation_id = acme.new_conversation()
    say(acme, conversation_id, json.dumps({"fail": "http-500"}))
    assert [message["role"] for message in history(acme, conversation_id)["messages"]] == ["user"]
    assert acme.rest("GET", f"/{conversation_id}").json()["message_count"] == 2


@pytest.mark.parametrize("status", ["active", "escalated", "closed"])
def test_the_history_tells_the_status(acme: Actor, status: str) -> None:
    conversation_id = acme.new_conversation()
    Chat.objects.for_tenant(acme.tenant_id).filter(id=conversation_id).update(status=status)
    assert history(acme, conversation_id)["status"] == status


async def test_what_is_said_over_the_websocket_is_in_the_history(shop: Actor) -> None:
    conversation_id = shop.new_conversation()
    async with await shop.join(conversation_id, "bob") as socket:
        ended = await socket.say("hello")
    assert [message["content"] for message in history(shop, conversation_id)["messages"]] == ["hello", ended["content"]]


# --- Refusals ---


@pytest.mark.parametrize("conversation_id", [str(uuid.UUID(int=7)), "malformed", "%00", "%FF", "1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_conversation_is_not_found(acme: Actor, method: str, conversation_id: str) -> None:
    body = {"json": {"message": "hi"}} if method == "POST" else {}
    answer = acme.customer(method, f"/{conversation_id}/messages", **body)
    assert_refused(answer, 404, "CHAT_NOT_FOUND", face="customer")


def assert_nothing_said(actor: Actor, conversation_id: str) -> None:
    assert not Message.objects.for_tenant(actor.tenant_id).filter(chat_id=conversation_id).exists()
    assert actor.rest("GET", f"/{conversation_id}").json()["message_count"] == 0


def test_without_credits_payment_is_required_and_no_model_is_asked(live: NewActor, asked: Callable[[str], int]) -> None:
    acme = live("Acme", model="openai:test", credits=0)
    conversation_id = acme.new_conversation()
    message = f"who pays {conversation_id}"
    refusal = assert_refused(say(acme, conversation_id, message), 402, "PAYMENT_REQUIRED", face="customer")
    assert "credits" in refusal["error"]
    assert_nothing_said(acme, conversation_id)
    assert asked(message) == 0


def test_when_the_credits_are_used_up_payment_is_required(live: NewActor) -> None:
    acme = live("Acme", model="builtin", credits=1)
    conversation_id = acme.new_conversation()
    assert say(acme, conversation_id).status_code == 200
    assert_refused(say(acme, conversation_id), 402, "PAYMENT_REQUIRED", face="customer")
    account = Account.objects.get(tenant=acme.tenant)
    assert (account.balance, account.reserved) == (0, 0)


def test_without_a_subscription_payment_is_required_whatever_credits_there_are(
    live: NewActor, asked: Callable[[str], int]
) -> None:
    acme = live("Acme", model="openai:test", credits=1000, subscription_active=False)
    conversation_id = acme.new_conversation()
    message = f"who pays {conversation_id}"
    assert_refused(say(acme, conversation_id, message), 402, "PAYMENT_REQUIRED", face="customer")
    assert_nothing_said(acme, conversation_id)
    assert asked(message) == 0


def test_without_a_subscription_the_rest_goes_on(live: NewActor) -> None:
    acme = live("Acme", model="builtin", subscription_active=False)
    assert history(acme, acme.new_conversation())["messages"] == []
    assert acme.rest("GET", f"/{acme.new_chat()}").status_code == 200


def count_as_said(actor: Actor, chat_id: str, messages: int) -> None:
    Chat.objects.for_tenant(actor.tenant_id).filter(id=chat_id).update(user_message_count=messages)


def test_a_conversation_takes_200_messages(shop: Actor) -> None:
    conversation_id = shop.new_conversation()
    count_as_said(shop, conversation_id, 199)
    assert say(shop, conversation_id).status_code == 200
    refusal = assert_refused(say(shop, conversation_id), 429, "MESSAGE_LIMIT_REACHED", face="customer")
    assert "200" in refusal["error"]
    assert len(history(shop, conversation_id)["messages"]) == 2
    assert say(shop, shop.new_conversation()).status_code == 200


def test_the_messages_of_the_user_count_and_no_others(live: NewActor) -> None:
    acme = live("Acme", model="builtin", message_limit=3)
    conversation_id = acme.new_conversation()
    assert [say(acme, conversation_id).status_code for _ in range(4)] == [200, 200, 200, 429]


async def test_a_chat_made_over_rest_has_no_limit_of_messages(shop: Actor) -> None:
    chat_id = shop.new_chat()
    await in_thread(count_as_said, shop, chat_id, 5000)
    async with await shop.join(chat_id) as socket:
        assert (await socket.say("hello"))["content"]


async def test_the_tenants_own_limit_of_messages_holds_for_both_faces(live: NewActor) -> None:
    acme = await in_thread(live, "Acme", model="builtin", message_limit=1)
    chat_id, conversation_id = acme.new_chat(), acme.new_conversation()
    assert say(acme, conversation_id).status_code == 200
    assert_refused(say(acme, conversation_id), 429, "MESSAGE_LIMIT_REACHED", face="customer")
    async with await acme.join(chat_id) as socket:
        await socket.say("hello")
        await socket.send({"content": "once more"})
        assert (await socket.until("error"))["error_code"] == "MESSAGE_LIMIT_REACHED"
        await socket.quiet()
    async with await acme.join(conversation_id) as socket:
        await socket.send({"content": "and from here"})
        assert (await socket.until("error"))["error_code"] == "MESSAGE_LIMIT_REACHED"


def test_the_tenants_own_limit_may_be_above_200(live: NewActor) -> None:
    acme = live("Acme", model="builtin", message_limit=1000)
    conversation_id = acme.new_conversation()
    count_as_said(acme, conversation_id, 999)
    assert [say(acme, conversation_id).status_code for _ in range(2)] == [200, 429]


def test_a_refusal_is_no_stream(acme: Actor) -> None:
    answer = say(acme, acme.new_conversation(), "x" * 32_001)
    assert_refused(answer, 400, "MESSAGE_TOO_LONG", face="customer")
    assert [name for name in ("X-Message-Id", "X-Stream-Id", "X-Accel-Buffering") if name in answer.headers] == []


def test_a_closed_conversation_is_opened_by_a_message(shop: Actor) -> None:
    conversation_id = shop.new_conversation()
    Chat.objects.for_tenant(shop.tenant_id).filter(id=conversation_id).update(status="closed")
    assert say(shop, conversation_id).status_code == 200
    body = history(shop, conversation_id)
    assert (len(body["messages"]), body["status"]) == (2, "active")
