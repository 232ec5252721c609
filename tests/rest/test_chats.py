"""A chat over REST: made, read, its messages read; each answer byte for byte."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from chats.models import Chat
from chats.staff_replies import post_person_reply
from tenants.models import EndUser
from tests.rest.wire import TIMESTAMP, UUID, assert_refused, exchange
from tests.support.actors import Actor
from tests.support.servers import Server

CHAT_FIELDS = [
    "id",
    "user_id",
    "tenant_id",
    "title",
    "config",
    "created_at",
    "updated_at",
    "last_message_at",
    "message_count",
    "status",
]
MESSAGE_FIELDS = [
    "id",
    "content",
    "sender_role",
    "media_type",
    "media_url",
    "created_at",
    "metadata",
    "sequence",
    "user_id",
    "reply_to",
]


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: what a chat looks like is decided behind it."""
    return live_server_uvicorn


def assert_compact(answer: httpx.Response) -> Any:
    """The body is compact JSON in UTF-8, and says so: what it holds."""
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    body = answer.json()
    assert answer.content == json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return body


@pytest.fixture
def shop(live: Callable[..., Actor]) -> Actor:
    """A tenant whose chats the built-in agent answers."""
    return live("Acme", model="builtin")


# --- Creating ---


@pytest.mark.parametrize("slash", ["/", ""])
def test_a_new_chat_is_answered_with_all_its_fields(acme: Actor, slash: str) -> None:
    answer = acme.rest("POST", slash, json={"user_id": "alice", "metadata": {"plan": "gold", "n": 1}})
    assert answer.status_code == 201
    chat = assert_compact(answer)
    assert list(chat) == CHAT_FIELDS
    assert UUID.fullmatch(chat["id"])
    assert TIMESTAMP.fullmatch(chat["created_at"])
    assert chat["updated_at"] == chat["created_at"]
    assert chat == {
        "id": chat["id"],
        "user_id": "alice",
        "tenant_id": str(acme.tenant_id),
        "title": "New chat",
        "config": {"metadata": {"plan": "gold", "n": 1}},
        "created_at": chat["created_at"],
        "updated_at": chat["updated_at"],
        "last_message_at": None,
        "message_count": 0,
        "status": "active",
    }


def test_without_metadata_the_chat_has_an_empty_object(acme: Actor) -> None:
    for body in ({"user_id": "alice"}, {"user_id": "alice", "metadata": None}):
        assert acme.rest("POST", "/", json=body).json()["config"] == {"metadata": {}}


def test_a_new_chat_makes_its_user_once(acme: Actor) -> None:
    acme.new_chat("alice")
    acme.new_chat("alice")
    assert EndUser.objects.for_tenant(acme.tenant_id).filter(external_id="alice").count() == 1


@pytest.mark.parametrize("user_id", ["a", "x" * 255, "é" * 255, "🙂" * 255, " ", "with space", "a/b", "\n"])
def test_a_user_id_is_any_text_of_1_to_255_characters(acme: Actor, user_id: str) -> None:
    answer = acme.rest("POST", "/", json={"user_id": user_id})
    assert answer.status_code == 201
    assert answer.json()["user_id"] == user_id


@pytest.mark.parametrize(
    "body",
    [{}, *({"user_id": value} for value in (None, "", 7, True, [], {}, ["alice"], "x" * 256, "🙂" * 256, "a\0b"))],
    ids=repr,
)
def test_a_missing_or_impossible_user_id_is_refused_by_name(acme: Actor, body: dict[str, Any]) -> None:
    refusal = assert_refused(acme.rest("POST", "/", json=body), 400, "INVALID_REQUEST")
    if body.get("user_id") != "a\0b":  # The JSON gate refuses NUL wherever it is, and knows no fields.
        assert list(refusal["details"]["fields"]) == ["user_id"]
    assert not Chat.objects.for_tenant(acme.tenant_id).exists()


@pytest.mark.parametrize("title", ["t", "x" * 255, "🙂" * 255, "  Über uns  ", "null"])
def test_a_title_is_kept_as_given(acme: Actor, title: str) -> None:
    assert acme.rest("GET", f"/{acme.new_chat(title=title)}").json()["title"] == title


@pytest.mark.parametrize("title", ["x" * 256, "🙂" * 256, 7, False, [], {}], ids=repr)
def test_an_impossible_title_is_refused_by_name(acme: Actor, title: Any) -> None:
    refusal = assert_refused(acme.rest("POST", "/", json={"user_id": "alice", "title": title}), 400, "INVALID_REQUEST")
    assert list(refusal["details"]["fields"]) == ["title"]


def test_what_the_server_decides_can_not_be_given(acme: Actor, globex: Actor) -> None:
    given = {
        "id": str(uuid.uuid4()),
        "tenant_id": str(globex.tenant_id),
        "tenant": str(globex.tenant_id),
        "status": "escalated",
        "message_count": 7,
        "last_sequence": 7,
        "created_at": "2001-01-01T00:00:00Z",
        "is_conversation": True,
    }
    chat = acme.rest("POST", "/", json={"user_id": "alice", **given}).json()
    assert {name for name, value in given.items() if chat.get(name) == value} == set()
    stored = Chat.objects.for_tenant(acme.tenant_id).get(id=chat["id"])
    assert (stored.status, stored.last_sequence, stored.is_conversation) == ("active", 0, False)
    assert not Chat.objects.for_tenant(globex.tenant_id).exists()


# --- Titles from the first message ---


@pytest.mark.parametrize(
    ("first", "title"),
    [
        ("What are your opening hours?", "What are your opening hours?"),
        ("x" * 59 + "yz", "x" * 59 + "y"),
        ("🙂" * 61, "🙂" * 60),
        ("two\nlines", "two\nlines"),
    ],
)
async def test_a_chat_without_a_title_takes_60_characters_of_its_first_message(
    shop: Actor, first: str, title: str
) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as socket:
        await socket.say(first)
        assert shop.rest("GET", f"/{chat_id}").json()["title"] == title
        await socket.say("and another thing")
        assert shop.rest("GET", f"/{chat_id}").json()["title"] == title


async def test_a_given_title_stays_whatever_is_said(shop: Actor) -> None:
    chat_id = shop.new_chat(title="New chat")
    async with await shop.join(chat_id) as socket:
        await socket.say("Hello there")
    assert shop.rest("GET", f"/{chat_id}").json()["title"] == "New chat"


# --- Reading ---


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_chat_is_read_as_it_was_answered_when_made(acme: Actor, slash: str) -> None:
    made = acme.rest("POST", "/", json={"user_id": "alice", "title": "T", "metadata": {"é": ["\u2028", None, 0.5]}})
    answer = acme.rest("GET", f"/{made.json()['id']}{slash}")
    assert answer.status_code == 200
    assert answer.content == made.content


def test_an_id_is_read_in_capitals_too(acme: Actor) -> None:
    chat_id = acme.new_chat()
    assert acme.rest("GET", f"/{chat_id.upper()}").json()["id"] == chat_id


async def test_a_chat_counts_its_messages_and_tells_when_the_last_came(shop: Actor) -> None:
    chat_id = shop.new_chat()
    async with await shop.join(chat_id) as socket:
        await socket.say("hello")
        await socket.say("hello again")
    chat = shop.rest("GET", f"/{chat_id}").json()
    last = shop.rest("GET", f"/{chat_id}/messages").json()["messages"][-1]
    assert chat["message_count"] == 4
    assert chat["last_message_at"] == chat["updated_at"] == last["created_at"]


@pytest.mark.parametrize("status", ["active", "escalated", "closed"])
def test_a_chat_tells_its_status(acme: Actor, status: str) -> None:
    chat_id = acme.new_chat()
    Chat.objects.for_tenant(acme.tenant_id).filter(id=chat_id).update(status=status)
    assert acme.rest("GET", f"/{chat_id}").json()["status"] == status


def test_a_timestamp_without_microseconds_is_written_without_them(acme: Actor) -> None:
    chat_id = acme.new_chat()
    Chat.objects.for_tenant(acme.tenant_id).filter(id=chat_id).update(
        created_at=datetime(2024, 1, 15, 10, 30, tzinfo=UTC), updated_at=datetime(2024, 1, 15, 10, 30, 0, 50, UTC)
    )
    chat = acme.rest("GET", f"/{chat_id}").json()
    assert chat["created_at"] == "2024-01-15T10:30:00Z"
    assert chat["updated_at"] == "2024-01-15T10:30:00.000050Z"


# --- Messages ---


@pytest.mark.parametrize("slash", ["", "/"])
async def test_messages_are_answered_with_all_their_fields(shop: Actor, slash: str) -> None:
    chat_id = shop.new_chat("alice")
    async with await shop.join(chat_id, "bob") as socket:
        ended = await socket.say("hello", metadata={"page": "/home"})
    answer = shop.rest("GET", f"/{chat_id}/messages{slash}")
    assert answer.status_code == 200
    body = assert_compact(answer)
    assert list(body) == ["messages", "total", "offset", "limit", "has_more"]
    assert (body["total"], body["offset"], body["limit"], body["has_more"]) == (2, 0, 50, False)
    question, reply = body["messages"]
    assert list(question) == list(reply) == MESSAGE_FIELDS
    assert TIMESTAMP.fullmatch(question["created_at"])
    assert question == {
        "id": ended["reply_to"],
        "content": "hello",
        "sender_role": "user",
        "media_type": None,
        "media_url": None,
        "created_at": question["created_at"],
        "metadata": {"page": "/home"},
        "sequence": 1,
        "user_id": "bob",
        "reply_to": None,
    }
    assert TIMESTAMP.fullmatch(reply["created_at"])
    assert reply == {
        "id": ended["message_id"],
        "content": ended["content"],
        "sender_role": "assistant",
        "media_type": None,
        "media_url": None,
        "created_at": reply["created_at"],
        "metadata": ended["metadata"],
        "sequence": 2,
        "user_id": "bob",
        "reply_to": question["id"],
    }
    assert reply["metadata"]["model"] == "builtin"
    assert reply["metadata"]["tokens_used"] > 0


def test_a_new_chat_has_no_messages(acme: Actor) -> None:
    body = acme.rest("GET", f"/{acme.new_chat()}/messages").json()
    assert body == {"messages": [], "total": 0, "offset": 0, "limit": 50, "has_more": False}


def test_what_a_person_answered_is_the_assistants_and_names_the_author(acme: Actor) -> None:
    chat_id = acme.new_chat()
    post_person_reply(
        tenant_id=acme.tenant_id, chat_id=uuid.UUID(chat_id), content="Ruth here.", author_name="Ruth Weiß"
    )
    (message,) = acme.rest("GET", f"/{chat_id}/messages").json()["messages"]
    assert message["sender_role"] == "assistant"
    assert message["content"] == "Ruth here."
    assert message["metadata"]["author"] == "human"
    assert message["metadata"]["author_name"] == "Ruth Weiß"


# --- What is not there ---


@pytest.mark.parametrize(
    "chat_id",
    [
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "3f2504e04f8941d39a0c0305e82c3301",
        "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}",
        "urn:uuid:3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "not-an-id",
        "1",
        "%00",
        "a%00b",
        "%0A",
        "%20",
        "%FF",
        "%ED%A0%80",
        "%C3%A9",
        "..",
        "0" * 4000,
    ],
)
@pytest.mark.parametrize(("method", "below"), [("GET", ""), ("GET", "/messages"), ("DELETE", "")])
def test_an_unknown_or_malformed_id_is_not_found(acme: Actor, method: str, below: str, chat_id: str) -> None:
    target = f"/api/v1/chats/{chat_id}{below}"
    answer = exchange(acme.base, method, target, headers={"X-API-Key": acme.tenant_key})
    refusal = assert_refused(answer, 404, "CHAT_NOT_FOUND")
    assert refusal["details"] == {"fix": "Create the chat first using POST /api/v1/chats/ endpoint"}


def test_a_chat_that_is_not_there_is_named_in_the_seeds_words(acme: Actor) -> None:
    refusal = acme.rest("GET", f"/{uuid.UUID(int=7)}").json()
    assert refusal == {
        "error_code": "CHAT_NOT_FOUND",
        "error_message": "Chat with chat_id '00000000-0000-0000-0000-000000000007' not found or does not belong to "
        "your tenant",
        "details": {"fix": "Create the chat first using POST /api/v1/chats/ endpoint"},
    }
