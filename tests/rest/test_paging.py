"""Both lists of the Lexicon face are paged by offset, limit and order, and take nothing else for them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from chats.models import Chat, Message
from tenants.models import EndUser
from tests.rest.wire import assert_refused
from tests.support.actors import Actor
from tests.support.servers import Server


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: a page is made behind it."""
    return live_server_uvicorn


def lists(acme: Actor) -> dict[str, str]:
    """The paths of the lists, and what each calls its rows."""
    return {"/": "chats", "/user/alice": "chats", f"/{acme.new_chat('alice')}/messages": "messages"}


def fill(acme: Actor, count: int) -> str:
    """A chat with so many messages: its id."""
    chat_id = uuid.UUID(acme.new_chat())
    user = EndUser.objects.for_tenant(acme.tenant_id).get(external_id="alice")
    Message.objects.bulk_create(
        Message(tenant=acme.tenant, chat_id=chat_id, sequence=n, role="user", user=user, content=str(n))
        for n in range(1, count + 1)
    )
    Chat.objects.for_tenant(acme.tenant_id).filter(id=chat_id).update(last_sequence=count)
    return str(chat_id)


# --- Messages ---


@pytest.mark.parametrize(
    ("query", "sequences", "has_more"),
    [
        ("", range(1, 51), True),
        ("?order=asc", range(1, 51), True),
        ("?order=desc", range(120, 70, -1), True),
        ("?offset=0&limit=1", [1], True),
        ("?limit=100", range(1, 101), True),
        ("?offset=20&limit=100", range(21, 121), False),
        ("?offset=119&limit=5", [120], False),
        ("?offset=115&limit=4", [116, 117, 118, 119], True),
        ("?offset=116&limit=4", [117, 118, 119, 120], False),
        ("?offset=118&limit=5&order=desc", [2, 1], False),
        ("?offset=117&limit=2&order=desc", [3, 2], True),
        ("?offset=120", [], False),
        ("?offset=120&order=desc", [], False),
        ("?offset=2147483647&limit=100", [], False),
        ("?offset=2147483647&limit=100&order=desc", [], False),
        ("?offset=00007&limit=02", [8, 9], True),
    ],
)
def test_a_page_of_messages(acme: Actor, query: str, sequences: range | list[int], has_more: bool) -> None:
    body = acme.rest("GET", f"/{fill(acme, 120)}/messages{query}").json()
    assert [message["sequence"] for message in body["messages"]] == list(sequences)
    assert body["has_more"] is has_more
    assert body["total"] == 120


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_messages_together_are_all_messages_each_once(acme: Actor, order: str) -> None:
    chat_id = fill(acme, 23)
    seen: list[int] = []
    while True:
        query = {"offset": len(seen), "limit": 5, "order": order}
        body = acme.rest("GET", f"/{chat_id}/messages", params=query).json()
        seen += [message["sequence"] for message in body["messages"]]
        if not body["has_more"]:
            break
    assert seen == sorted(range(1, 24), reverse=order == "desc")


# --- A user's chats ---


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_users_chats_are_listed_newest_first_as_they_are_read_alone(acme: Actor, slash: str) -> None:
    made = [acme.new_chat("alice", title=str(n)) for n in range(3)]
    acme.new_chat("bob")
    answer = acme.rest("GET", f"/user/alice{slash}")
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["chats", "total", "offset", "limit", "has_more"]
    assert (body["total"], body["offset"], body["limit"], body["has_more"]) == (3, 0, 50, False)
    assert body["chats"] == [acme.rest("GET", f"/{chat_id}").json() for chat_id in reversed(made)]


@pytest.mark.parametrize(
    ("query", "titles", "has_more"),
    [
        ("?order=desc", "43210", False),
        ("?order=asc", "01234", False),
        ("?limit=2", "43", True),
        ("?offset=2&limit=2", "21", True),
        ("?offset=3&limit=2&order=asc", "34", False),
        ("?offset=4&limit=100", "0", False),
        ("?offset=5", "", False),
        ("?offset=2147483647", "", False),
    ],
)
def test_a_page_of_a_users_chats(acme: Actor, query: str, titles: str, has_more: bool) -> None:
    for n in range(5):
        acme.new_chat("alice", title=str(n))
    body = acme.rest("GET", f"/user/alice{query}").json()
    assert "".join(chat["title"] for chat in body["chats"]) == titles
    assert (body["total"], body["has_more"]) == (5, has_more)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_chats_of_one_moment_stand_on_one_page_each(acme: Actor, order: str) -> None:
    made = {acme.new_chat("alice") for _ in range(7)}
    Chat.objects.for_tenant(acme.tenant_id).update(created_at=datetime(2024, 1, 15, tzinfo=UTC))
    pages = [
        acme.rest("GET", "/user/alice", params={"offset": offset, "limit": 2, "order": order}).json()["chats"]
        for offset in range(0, 8, 2)
    ]
    seen = [chat["id"] for page in pages for chat in page]
    assert seen == sorted(made, reverse=order == "desc")


# --- What is no page ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "-1"),
        ("limit", "9" * 5000),
        ("limit", "9" * 20),
        ("limit", "1_0"),
        ("limit", "٥"),
        ("limit", "５"),
        ("limit", "²"),
        ("limit", "+5"),
        ("limit", " 5"),
        ("limit", "5\n"),
        ("limit", "5.0"),
        ("limit", "1e1"),
        ("limit", "0x10"),
        ("limit", ""),
        ("limit", "ten"),
        ("limit", "\0"),
        ("limit", "5\0"),
        ("offset", "-1"),
        ("offset", "2147483648"),
        ("offset", "9" * 5000),
        ("offset", "1_0"),
        ("offset", "٠"),
        ("offset", ""),
        ("offset", "null"),
        ("order", "up"),
        ("order", "ASC"),
        ("order", ""),
        ("order", "asc\0"),
    ],
)
def test_an_impossible_page_is_refused_by_name(acme: Actor, name: str, value: str) -> None:
    for path in lists(acme):
        refusal = assert_refused(acme.rest("GET", path, params={name: value}), 400, "INVALID_REQUEST")
        assert list(refusal["details"]["fields"]) == [name]


def test_the_largest_page_is_taken(acme: Actor) -> None:
    for path, rows in lists(acme).items():
        body = acme.rest("GET", path, params={"limit": 100, "offset": 2147483647}).json()
        assert (body["limit"], body["offset"], body[rows]) == (100, 2147483647, [])


def test_other_parameters_are_ignored(acme: Actor) -> None:
    for path in lists(acme):
        assert acme.rest("GET", path, params={"page": "2", "tenant_id": "x"}).status_code == 200
