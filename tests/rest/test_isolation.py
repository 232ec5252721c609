"""What is another tenant's is not there: on every route and method that the URLconf has."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from django.urls import get_resolver

from chats.models import Chat
from tests.rest.wire import Answer, assert_refused, exchange
from tests.support.actors import Actor
from tests.support.servers import Server

#: Text of Acme's that must be in no answer to anybody else.
CANARY = "canary-2f6c1b"
RANDOM = str(uuid.UUID(int=2**127 + 7))


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: what is whose is decided behind it."""
    return live_server_uvicorn


@dataclass(frozen=True)
class Case:
    """How a route is asked for something, with what body, and how it answers whose it is."""

    body: dict[str, Any] | None = None
    status: int = 200


#: Every route and method with ids in its address, and how it is asked.
MATRIX = {
    ("api/v1/chats/user/{user_id}", "GET"): Case(),
    ("api/v1/chats/{chat_id}", "GET"): Case(),
    ("api/v1/chats/{chat_id}", "PATCH"): Case({"title": "taken over"}),
    ("api/v1/chats/{chat_id}", "DELETE"): Case(),
    ("api/v1/chats/{chat_id}/tokens", "POST"): Case({"ttl_seconds": 60}, status=201),
    ("api/v1/chats/{chat_id}/messages", "GET"): Case(),
    ("api/v1/chats/{chat_id}/messages/{message_id}", "PATCH"): Case({"rating": "up"}),
    ("api/v1/customer/conversations/{conversation_id}/messages", "GET"): Case(),
    ("api/v1/customer/conversations/{conversation_id}/messages", "POST"): Case({"message": "hi"}),
    ("api/v1/customer/conversations/{conversation_id}/stream", "GET"): Case(status=204),
}
#: Those that list: what they list is the key's tenant's.
LISTERS = {("api/v1/chats", "GET")}
#: Those without: what they make belongs to the key's tenant, whatever the body says.
MAKERS = {
    ("api/v1/chats", "POST"),
    ("api/v1/customer/conversations", "POST"),
}


def routes() -> list[str]:
    """The addresses of the API, as the URLconf has them."""
    found = []
    for entry in get_resolver().url_patterns:
        text = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", str(entry.pattern)).removeprefix("^")
        if text.startswith("api/v1/"):
            found.append(re.sub(r"(/\?)?\\Z$", "", text))
    return found


def methods(actor: Actor, route: str) -> list[str]:
    """What the route takes, by its own word."""
    answer = ask(actor, "PROPFIND", route, RANDOM)
    assert answer.status_code == 405, route
    return [method for method in answer.headers["Allow"].split(", ") if method != "HEAD"]


def ask(
    actor: Actor,
    method: str,
    route: str,
    object_id: str,
    body: dict[str, Any] | None = None,
    query: str = "",
    message_id: str = RANDOM,
) -> Answer:
    """A request of the actor's with this id in the address, and of a message where it names one."""
    route = route.replace("{message_id}", message_id)
    target = "/" + re.sub(r"\{\w+\}", quote(object_id, safe=""), route) + query
    headers = {"X-API-Key": actor.tenant_key, "Authorization": f"Bearer {actor.customer_key}"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    return exchange(actor.base, method, target, headers=headers, body=json.dumps(body).encode() if body else b"")


def told(answer: Answer, object_id: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """All a client is told, but for what differs between any two answers, and the id it asked for."""
    changing = {"x-request-id", "date", "x-ratelimit-remaining", "x-ratelimit-reset", "content-length"}
    headers = sorted((name.lower(), value) for name, value in answer.headers.items() if name.lower() not in changing)
    return answer.status_code, headers, answer.content.replace(f"'{object_id}'".encode(), b"'<id>'")


@pytest.fixture
def owner(live: Callable[..., Actor]) -> Actor:
    return live("Acme", model="builtin")


@dataclass(frozen=True)
class Belongings:
    """What Acme has, by the name of the route's group."""

    chat_id: str
    conversation_id: str
    user_id: str
    #: The agent's reply in the conversation.
    reply_id: str

    def ids_for(self, route: str) -> Iterator[str]:
        """The ids that mean something on this route."""
        if "{user_id}" in route:
            yield from (self.user_id, self.conversation_id)
        elif "{message_id}" in route:
            yield self.conversation_id
        else:
            yield from (self.chat_id, self.conversation_id)


@pytest.fixture
def things(owner: Actor) -> Belongings:
    user_id = f"user {CANARY}"
    chat_id = owner.new_chat(user_id, title=f"title {CANARY}", metadata={"note": CANARY})
    conversation_id = owner.new_conversation()
    said = owner.customer("POST", f"/{conversation_id}/messages", json={"message": f"hello {CANARY}"})
    assert said.status_code == 200
    reply_id = said.headers["X-Stream-Id"].partition(":")[0]
    return Belongings(chat_id, conversation_id, user_id, reply_id)


def snapshot(owner: Actor, things: Belongings) -> list[Any]:
    """All of what Acme has, as Acme sees it."""
    return [
        owner.rest("GET", path).json()
        for path in (
            f"/{things.chat_id}",
            f"/{things.chat_id}/messages",
            f"/{things.conversation_id}",
            f"/{things.conversation_id}/messages",
        )
    ]


# --- The matrix is whole ---


def test_every_route_and_method_has_an_entry(acme: Actor) -> None:
    found = {(route, method) for route in routes() for method in methods(acme, route)}
    assert found == set(MATRIX) | MAKERS | LISTERS


def test_the_routes_are_found() -> None:
    assert "api/v1/chats/{chat_id}/messages" in routes()
    assert "api/v1/chats/user/{user_id}" in routes()


# --- Another tenant's ---


@pytest.mark.parametrize("query", ["", "?force=true&limit=5"])
@pytest.mark.parametrize(("route", "method"), MATRIX, ids=lambda part: part)
def test_another_tenants_is_answered_as_what_never_was(
    owner: Actor, globex: Actor, things: Belongings, route: str, method: str, query: str
) -> None:
    before = snapshot(owner, things)
    body = MATRIX[route, method].body
    never_was = told(ask(globex, method, route, RANDOM, body, query), RANDOM)
    assert never_was[0] == 404
    for object_id in things.ids_for(route):
        answer = ask(globex, method, route, object_id, body, query, things.reply_id)
        assert told(answer, object_id) == never_was
        assert CANARY.encode() not in answer.content.replace(things.user_id.encode(), b"")
    assert snapshot(owner, things) == before


@pytest.mark.parametrize(
    "malformed", ["x", "0", "None", "' OR 1=1 --", "*", "%", RANDOM[:-1], RANDOM.replace("-", ""), f"{RANDOM} "]
)
@pytest.mark.parametrize(("route", "method"), MATRIX, ids=lambda part: part)
def test_a_malformed_id_is_answered_as_what_never_was(
    globex: Actor, things: Belongings, route: str, method: str, malformed: str
) -> None:
    body = MATRIX[route, method].body
    never_was = told(ask(globex, method, route, RANDOM, body), RANDOM)
    assert told(ask(globex, method, route, malformed, body), malformed) == never_was


@pytest.mark.parametrize(("route", "method"), MATRIX, ids=lambda part: part)
def test_what_was_deleted_is_answered_as_what_never_was(
    owner: Actor, things: Belongings, route: str, method: str
) -> None:
    for object_id in (things.chat_id, things.conversation_id):
        assert owner.rest("DELETE", f"/{object_id}").status_code == 200
    body = MATRIX[route, method].body
    never_was = told(ask(owner, method, route, RANDOM, body), RANDOM)
    for object_id in things.ids_for(route):
        assert told(ask(owner, method, route, object_id, body), object_id) == never_was


@pytest.mark.parametrize(("route", "method"), sorted(MAKERS))
def test_what_is_made_belongs_to_the_keys_tenant(owner: Actor, globex: Actor, route: str, method: str) -> None:
    body = {"user_id": "eve", "tenant_id": str(owner.tenant_id), "tenant": "Acme", "api_key": owner.tenant_key}
    made = ask(globex, method, route, "", body).json()
    chat = Chat.objects.all_tenants().get(id=made.get("id") or made["conversationId"])
    assert chat.tenant_id == globex.tenant_id
    assert chat.user.tenant_id == globex.tenant_id
    assert not Chat.objects.for_tenant(owner.tenant_id).exists()


@pytest.mark.parametrize(("route", "method"), sorted(LISTERS))
def test_what_is_listed_is_the_keys_tenants(
    owner: Actor, globex: Actor, things: Belongings, route: str, method: str
) -> None:
    mine = globex.new_chat(things.user_id)
    for query in ("", f"?user_id={quote(things.user_id)}"):
        answer = ask(globex, method, route, "", None, query)
        assert [chat["id"] for chat in answer.json()["chats"]] == [mine]
        assert answer.json()["total"] == 1


def test_the_owner_does_find_it(owner: Actor, things: Belongings) -> None:
    for (route, method), case in MATRIX.items():
        if method == "DELETE":
            continue
        for object_id in things.ids_for(route):
            if "customer" in route and object_id == things.chat_id:
                continue
            answer = ask(owner, method, route, object_id, case.body, message_id=things.reply_id)
            assert answer.status_code == case.status, route
    for object_id in (things.chat_id, things.conversation_id):
        assert ask(owner, "DELETE", "api/v1/chats/{chat_id}", object_id).status_code == 200


# --- What each kind of key sees ---


@pytest.mark.parametrize(("route", "method"), [entry for entry in MATRIX if "customer" in entry[0]])
def test_a_customer_key_sees_no_chat_made_over_rest(owner: Actor, things: Belongings, route: str, method: str) -> None:
    before = snapshot(owner, things)
    body = MATRIX[route, method].body
    never_was = told(ask(owner, method, route, RANDOM, body), RANDOM)
    assert told(ask(owner, method, route, things.chat_id, body), things.chat_id) == never_was
    assert snapshot(owner, things) == before


def test_a_tenant_key_sees_conversations_as_chats(owner: Actor, things: Belongings) -> None:
    conversation_id = things.conversation_id
    chat = owner.rest("GET", f"/{conversation_id}").json()
    assert (chat["id"], chat["user_id"], chat["message_count"]) == (conversation_id, conversation_id, 2)
    assert [found["id"] for found in owner.rest("GET", f"/user/{conversation_id}").json()["chats"]] == [conversation_id]
    messages = owner.rest("GET", f"/{conversation_id}/messages").json()["messages"]
    assert messages[0]["content"] == f"hello {CANARY}"
    assert owner.rest("DELETE", f"/{conversation_id}").status_code == 200


def test_without_a_key_every_route_is_closed(owner: Actor, things: Belongings) -> None:
    for route, method in [*MATRIX, *MAKERS, *LISTERS]:
        target = "/" + re.sub(r"\{\w+\}", things.chat_id, route)
        face = "customer" if "customer" in route else "lexicon"
        assert_refused(exchange(owner.base, method, target), 401, "AUTH_ERROR", face=face)
