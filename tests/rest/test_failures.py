"""Every failure of either face has its one shape: unknown routes, wrong methods, and what nobody foresaw."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper

from core.db.executor import in_thread
from tenants.models import EndUser
from tests.rest.wire import Answer, assert_refused, exchange
from tests.support.actors import Actor
from tests.support.servers import Server

RANDOM = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
CHATS = "/api/v1/chats"
CONVERSATIONS = "/api/v1/customer/conversations"

#: Every route, with the methods it takes. A stream has no HEAD: nothing is known of it before it runs.
ROUTES = {
    f"{CHATS}/": {"GET", "HEAD", "POST"},
    f"{CHATS}/user/alice": {"GET", "HEAD"},
    f"{CHATS}/{RANDOM}": {"GET", "HEAD", "PATCH", "DELETE"},
    f"{CHATS}/{RANDOM}/messages": {"GET", "HEAD"},
    f"{CHATS}/{RANDOM}/tokens": {"POST"},
    CONVERSATIONS: {"POST"},
    f"{CONVERSATIONS}/{RANDOM}/messages": {"GET", "HEAD", "POST"},
    f"{CONVERSATIONS}/{RANDOM}/stream": {"GET"},
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: routes and methods are told apart behind it."""
    return live_server_uvicorn


def face_of(target: str) -> str:
    return "customer" if target.startswith("/api/v1/customer/") else "lexicon"


def send(actor: Actor, method: str, target: str, body: bytes = b"") -> Answer:
    headers = {"X-API-Key": actor.tenant_key, "Authorization": f"Bearer {actor.customer_key}"}
    if body:
        headers["Content-Type"] = "application/json"
    return exchange(actor.base, method, target, headers=headers, body=body)


# --- Unknown routes ---


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/api",
        "/api/",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/chats/",
        f"{CHATS}//",
        f"{CHATS}x",
        f"{CHATS}/{RANDOM}/nothing",
        f"{CHATS}/{RANDOM}/messages/7/8",
        f"{CHATS}/{RANDOM}//",
        f"{CHATS}/{RANDOM}/messages//",
        f"{CHATS}/{RANDOM}%2Fmessages%2F7%2F8",
        f"{CONVERSATIONS}/{RANDOM}",
        f"{CONVERSATIONS}//",
        f"{CONVERSATIONS}/{RANDOM}/messages/7",
        "/api/v1/customer/",
        "/api/v1/customer/nothing",
        "/ws/chat",
        "/static/nothing.css",
        "/%00",
        "/%FF",
    ],
)
def test_an_unknown_route_is_not_found(acme: Actor, target: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert_refused(send(acme, method, target), 404, "NOT_FOUND", face=face_of(target))


# --- Wrong methods ---


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_takes_its_methods_and_no_others(acme: Actor, route: str, slash: str) -> None:
    target = route.rstrip("/") + slash
    for method in METHODS:
        answer = send(acme, method, target)
        if method in ROUTES[route]:
            assert answer.status_code != 405, method
            continue
        assert_refused(answer, 405, "METHOD_NOT_ALLOWED", face=face_of(target))
        assert set(answer.headers["Allow"].split(", ")) == ROUTES[route]


@pytest.mark.parametrize("route", ROUTES)
def test_a_wrong_method_without_a_key_is_unauthorized(acme: Actor, route: str) -> None:
    assert_refused(exchange(acme.base, "PUT", route), 401, "AUTH_ERROR", face=face_of(route))


@pytest.mark.parametrize("route", [route for route in ROUTES if "HEAD" in ROUTES[route]])
def test_head_is_get_without_a_body(acme: Actor, route: str) -> None:
    chat_id, conversation_id = acme.new_chat("alice"), acme.new_conversation()
    target = route.replace(RANDOM, conversation_id if face_of(route) == "customer" else chat_id)
    got, head = send(acme, "GET", target), send(acme, "HEAD", target)
    assert (got.status_code, head.status_code) == (200, 200)
    assert head.content == b""
    for name in ("Content-Type", "Content-Length"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize("route", [route for route in ROUTES if "HEAD" not in ROUTES[route]])
def test_head_of_what_can_not_be_read_is_not_allowed(acme: Actor, route: str) -> None:
    answer = send(acme, "HEAD", route)
    assert (answer.status_code, answer.content) == (405, b"")


# --- What nobody foresaw ---


def spoil(table: str, row_id: str) -> None:
    """Break a row in a way that no code of ours writes."""
    with connection.cursor() as cursor:
        # Without its dashes as SQLite keeps it, with them as PostgreSQL takes it.
        known = row_id if connection.vendor == "postgresql" else row_id.replace("-", "")
        cursor.execute(f"UPDATE {table} SET metadata = 'not json' WHERE id = %s", [known])
        assert cursor.rowcount == 1


def test_a_failure_nobody_foresaw_is_told_on_the_lexicon_face(acme: Actor) -> None:
    chat_id = acme.new_chat("alice")
    spoil("chats_chat", chat_id)
    for path in (f"/{chat_id}", f"/{chat_id}/messages", "/user/alice"):
        refusal = assert_refused(acme.rest("GET", path), 500, "INTERNAL_ERROR")
        assert refusal["error_message"] == "Something went wrong on our side"
        assert "X-Request-ID" in refusal["details"]["fix"]
        assert acme.rest("GET", path).headers["X-RateLimit-Limit"] == "100000"
    assert_refused(acme.rest("DELETE", f"/{chat_id}"), 500, "INTERNAL_ERROR")


def test_a_failure_nobody_foresaw_is_told_on_the_customer_face(acme: Actor) -> None:
    conversation_id = acme.new_conversation()
    spoil("chats_chat", conversation_id)
    path = f"/{conversation_id}/messages"
    for answer in (acme.customer("GET", path), acme.customer("POST", path, json={"message": "hi"})):
        refusal = assert_refused(answer, 500, "INTERNAL_ERROR", face="customer")
        assert refusal["error"] == "Something went wrong on our side"


def test_a_failure_nobody_foresaw_tells_nothing_of_the_inside(acme: Actor) -> None:
    chat_id = acme.new_chat()
    spoil("chats_chat", chat_id)
    text = acme.rest("GET", f"/{chat_id}").text
    assert [word for word in ("Traceback", "JSON", "orjson", "not json", "chats_chat", ".py") if word in text] == []


# --- When the database does not answer ---


@pytest.mark.parametrize("table", ["tenants_apikey", "chats_chat"])
@pytest.mark.parametrize(
    ("route", "method"), [(route, method) for route in ROUTES for method in sorted(ROUTES[route] - {"HEAD"})]
)
async def test_while_the_database_is_away_the_service_is_unavailable(
    acme: Actor, inside: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, route: str, method: str, table: str
) -> None:
    real = CursorWrapper.execute

    def execute(self: Any, sql: str, params: Any = None) -> Any:
        if f'"{table}"' in sql:
            raise OperationalError("the connection is lost")
        return real(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", execute)
    headers = {"X-API-Key": acme.tenant_key, "Authorization": f"Bearer {acme.customer_key}"}
    body = {"user_id": "alice", "message": "hi"} if method in ("POST", "PATCH") else None
    target = route.replace("user/alice", "user/" + await in_thread(a_user_with_chats, acme))
    answer = await inside.request(method, target, headers=headers, json=body)
    assert_refused(answer, 503, "SERVICE_UNAVAILABLE", face=face_of(route))
    assert int(answer.headers["Retry-After"]) >= 1


def a_user_with_chats(actor: Actor) -> str:
    EndUser.objects.for_tenant(actor.tenant_id).create(tenant_id=actor.tenant_id, external_id="alice")
    return "alice"


# --- Who asks for something else ---


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/png;q=0.1", "garbage", "", "*/*"])
def test_whatever_is_asked_for_the_answer_is_json(acme: Actor, accept: str) -> None:
    headers = {"Accept": accept}
    assert acme.rest("POST", "/", json={"user_id": "a"}, headers=headers).headers["Content-Type"] == "application/json"
    assert_refused(acme.rest("GET", "/nothing", headers=headers), 404, "CHAT_NOT_FOUND")
    assert_refused(httpx.get(acme.base + "/api/v1/nothing", headers=headers, verify=False), 404, "NOT_FOUND")


def test_a_format_suffix_or_parameter_changes_nothing(acme: Actor) -> None:
    chat_id = acme.new_chat()
    assert acme.rest("GET", f"/{chat_id}?format=api").json()["id"] == chat_id
    assert_refused(acme.rest("GET", f"/{chat_id}.json"), 404, "CHAT_NOT_FOUND")


def test_a_form_can_not_stand_in_for_another_method(acme: Actor) -> None:
    chat_id = acme.new_chat()
    answer = acme.rest("POST", f"/{chat_id}", headers={"X-HTTP-Method-Override": "DELETE"})
    assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert acme.rest("GET", f"/{chat_id}").status_code == 200


def test_a_browsers_cookie_is_neither_needed_nor_set(acme: Actor) -> None:
    headers = {"Cookie": "lexicon_session=x; csrftoken=y", "Origin": "https://elsewhere.example"}
    answer = acme.rest("POST", "/", json={"user_id": "alice"}, headers=headers)
    assert answer.status_code == 201
    assert "Set-Cookie" not in answer.headers
    assert "Access-Control-Allow-Origin" not in answer.headers
