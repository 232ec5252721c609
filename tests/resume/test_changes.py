"""PATCH and the list of all chats."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.actors import Actor
from tests.websocket.conftest import Model


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"title": "Order 7"}, {"title": "Order 7"}),
        ({"metadata": {"vip": True}}, {"config": {"metadata": {"vip": True}}}),
        ({"status": "closed"}, {"status": "closed"}),
        ({}, {}),
    ],
)
def test_what_is_given_changes_and_nothing_else(acme: Actor, change: dict[str, Any], shown: dict[str, Any]) -> None:
    chat_id = acme.new_chat(title="Before", metadata={"a": 1})
    before = acme.rest("GET", f"/{chat_id}").json()
    after = acme.rest("PATCH", f"/{chat_id}", json=change)
    assert after.status_code == 200
    assert {**after.json(), "updated_at": ""} == {**before, **shown, "updated_at": ""}
    assert acme.rest("GET", f"/{chat_id}").json() == after.json()


def test_a_title_taken_away_is_given_by_the_next_message(acme: Actor) -> None:
    chat_id = acme.new_chat(title="Before")
    assert acme.rest("PATCH", f"/{chat_id}", json={"title": ""}).json()["title"] == "New chat"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": 7}, "title"),
        ({"title": "x" * 256}, "title"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": "x" * 17_000}}, "metadata"),
        ({"status": "escalated"}, "status"),
        ({"status": None}, "status"),
    ],
)
def test_what_is_not_a_change_is_refused_whole(acme: Actor, change: dict[str, Any], field: str) -> None:
    chat_id = acme.new_chat(title="Before")
    answer = acme.rest("PATCH", f"/{chat_id}", json={"title": "After", **change})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_REQUEST")
    assert field in answer.json()["details"]["fields"]
    assert acme.rest("GET", f"/{chat_id}").json()["title"] == "Before"


async def test_open_sockets_hear_of_a_new_status(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        for status in ("closed", "active"):
            acme.rest("PATCH", f"/{chat_id}", json={"status": status})
            assert (await socket.until("chat_status_changed"))["status"] == status


async def test_a_new_title_is_no_news_to_sockets(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        acme.rest("PATCH", f"/{chat_id}", json={"title": "Quiet"})
        assert await socket.quiet() == []


async def test_a_message_makes_a_closed_chat_active(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    acme.rest("PATCH", f"/{chat_id}", json={"status": "closed"})
    async with await acme.join(chat_id) as socket:
        await socket.say(model.script(say="welcome back"))
        assert [event["status"] for event in socket.of_type("chat_status_changed")] == ["active"]


def test_all_chats_of_a_tenant_are_listed_by_creation(acme: Actor) -> None:
    ids = [acme.new_chat(user) for user in ("alice", "bob", "alice")]
    page = acme.rest("GET", "/?limit=2").json()
    assert [chat["id"] for chat in page["chats"]] == ids[:0:-1]
    assert (page["total"], page["has_more"]) == (3, True)
    assert [chat["id"] for chat in acme.rest("GET", "/?order=asc&offset=1").json()["chats"]] == ids[1:]


def test_a_tenant_without_chats_has_an_empty_list(acme: Actor) -> None:
    assert acme.rest("GET", "/").json() == {"chats": [], "total": 0, "offset": 0, "limit": 50, "has_more": False}


def test_the_chats_of_a_user_are_listed_as_under_their_own_address(acme: Actor) -> None:
    acme.new_chat("bob")
    mine = acme.new_chat("a/b c")
    listed = acme.rest("GET", "/", params={"user_id": "a/b c"})
    assert [chat["id"] for chat in listed.json()["chats"]] == [mine]
    assert listed.json() == acme.rest("GET", "/user/a%2Fb%20c").json()


@pytest.mark.parametrize("user_id", ["nobody", "", "a\0b", "x" * 256])
def test_a_user_without_chats_is_not_found(acme: Actor, user_id: str) -> None:
    answer = acme.rest("GET", "/", params={"user_id": user_id})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "USER_NOT_FOUND")
