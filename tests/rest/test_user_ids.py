"""A user's chats are found by any id a user may have, as it stands in the raw path."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.rest.wire import Answer, assert_refused, exchange
from tests.support.actors import Actor


def look(acme: Actor, target: str) -> Answer:
    return exchange(acme.base, "GET", "/api/v1/chats/user/" + target, headers={"X-API-Key": acme.tenant_key})


@pytest.mark.parametrize(
    "user_id",
    [
        "alice",
        "a/b",
        "a/",
        "/a",
        "/",
        "//",
        "a//",
        "a/messages",
        "messages",
        "user",
        "user/alice",
        "/api/v1/chats/user/alice",
        "with space",
        " ",
        " a ",
        "a+b",
        "100%",
        "%",
        "%2F",
        "a%2F",
        "%252F",
        "a?b",
        "a#b",
        "?",
        "a&b=c;d",
        "line\nbreak",
        "\n",
        "a\n",
        "\r\n",
        "tab\t",
        ".",
        "..",
        "../alice",
        "a\\b",
        '"quoted"',
        "<b>",
        "ünïcödé",
        "e\u0301",
        "名前",
        "🙂",
        "👩‍👩‍👧",
        "\u202eright to left",
        "\u2028",
        "\x7f\x01",
        "alice@example.com",
        "x" * 255,
        "é" * 255,
        "🙂" * 255,
    ],
)
def test_the_user_is_found_with_and_without_a_slash_behind(acme: Actor, user_id: str) -> None:
    chat_id = acme.new_chat(user_id)
    acme.new_chat("somebody else")
    for slash in ("", "/"):
        answer = look(acme, quote(user_id, safe="") + slash)
        assert answer.status_code == 200
        assert [(chat["id"], chat["user_id"]) for chat in answer.json()["chats"]] == [(chat_id, user_id)]


@pytest.mark.parametrize(("target", "user_id"), [("a/b", "a/b"), ("a/b/", "a/b"), ("a//", "a/"), ("a:b@c", "a:b@c")])
def test_a_slash_of_the_path_counts_as_it_stands_but_for_one_at_the_end(acme: Actor, target: str, user_id: str) -> None:
    chat_id = acme.new_chat(user_id)
    assert [chat["id"] for chat in look(acme, target).json()["chats"]] == [chat_id]


def test_an_encoded_slash_at_the_end_belongs_to_the_id_and_a_literal_one_does_not(acme: Actor) -> None:
    plain, slashed = acme.new_chat("a"), acme.new_chat("a/")
    found = {target: look(acme, target).json()["chats"][0]["id"] for target in ("a", "a/", "a%2F", "a%2f", "a%2F/")}
    assert found == {"a": plain, "a/": plain, "a%2F": slashed, "a%2f": slashed, "a%2F/": slashed}


def test_the_id_is_decoded_once(acme: Actor) -> None:
    chat_id = acme.new_chat("%41")
    acme.new_chat("A")
    assert [chat["id"] for chat in look(acme, "%2541").json()["chats"]] == [chat_id]


def test_the_query_is_not_part_of_the_id(acme: Actor) -> None:
    acme.new_chat("a")
    assert look(acme, "a?limit=1").json()["limit"] == 1
    assert look(acme, "a/?limit=1").json()["limit"] == 1


@pytest.mark.parametrize(
    "target",
    ["nobody", "x" * 256, quote("🙂" * 256), "%00", "a%00b", "%FF", "%ED%A0%80", "%F0%9F", "Alice", "alice%20", "/"],
)
def test_who_is_not_there_is_not_found(acme: Actor, target: str) -> None:
    acme.new_chat("alice")
    assert_refused(look(acme, target), 404, "USER_NOT_FOUND")


def test_a_user_without_chats_is_not_found(acme: Actor) -> None:
    chat_id = acme.new_chat("alice")
    acme.rest("DELETE", f"/{chat_id}")
    assert_refused(look(acme, "alice"), 404, "USER_NOT_FOUND")


def test_the_user_of_the_same_id_of_another_tenant_is_another(acme: Actor, globex: Actor) -> None:
    acme.new_chat("alice")
    assert_refused(look(globex, "alice"), 404, "USER_NOT_FOUND")
    other = globex.new_chat("alice")
    assert [chat["id"] for chat in look(globex, "alice").json()["chats"]] == [other]
