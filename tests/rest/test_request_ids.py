"""Every answer carries an X-Request-ID: the caller's own where it is harmless, a new one otherwise."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.rest.wire import JSON, exchange
from tests.support.actors import Actor
from tests.support.servers import Server


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: it is the application that answers."""
    return live_server_uvicorn


@pytest.mark.parametrize("given", ["abc", "A-1_2.3:4/5+6=", "0", "x" * 128, "3f2504e0-4f89-41d3-9a0c-0305e82c3301"])
def test_a_harmless_id_comes_back(acme: Actor, given: str) -> None:
    assert acme.rest("GET", "/user/nobody", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given",
    ["", "two words", "x" * 129, "ü", "<script>", "a\tb", 'a"b', "a;b", "a,b", "%0a", "{}", "١٢٣"],
    ids=repr,
)
def test_any_other_is_replaced(acme: Actor, given: str) -> None:
    headers = [(b"X-API-Key", acme.tenant_key.encode()), (b"X-Request-ID", given.encode())]
    address = acme.base + "/api/v1/chats/user/nobody"
    told = [httpx.get(address, headers=headers, verify=False).headers["X-Request-ID"] for _ in range(2)]
    assert told[0] != told[1]
    assert all(len(new) == 32 and new.isalnum() for new in told)


def test_without_one_each_answer_has_its_own(acme: Actor) -> None:
    ids = {acme.rest("GET", "/user/nobody").headers["X-Request-ID"] for _ in range(5)}
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/api/v1/chats/", 201),
        ("GET", "/api/v1/chats/malformed", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/api/v1/chats/", 405),
        ("OPTIONS", "/api/v1/chats/", 405),
        ("HEAD", "/api/v1/chats/user/nobody", 404),
        ("GET", "/api/v1/chats/user/alice?limit=0", 400),
        ("POST", "/api/v1/customer/conversations", 401),
        ("GET", "/healthz", 200),
        ("GET", "/admin/", 302),
        ("GET", "/admin/login/", 200),
    ],
)
def test_every_answer_has_it(acme: Actor, method: str, target: str, status: int) -> None:
    headers = {"X-API-Key": acme.tenant_key, "X-Request-ID": "mine", "Content-Type": "application/json"}
    body = b'{"user_id": "alice"}' if method == "POST" else b""
    answer = exchange(acme.base, method, target, headers=headers, body=body)
    assert answer.status_code == status
    assert answer.headers.get_all("X-Request-ID") == ["mine"]


def test_a_refusal_for_too_many_requests_has_it(live: Callable[..., Actor]) -> None:
    acme = live("Acme", rest_per_minute=0)
    answer = acme.rest("GET", "/user/alice", headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (429, "mine")


def test_a_body_that_is_too_large_is_refused_with_it(acme: Actor) -> None:
    answer = acme.rest("POST", "/", content=b" " * (2 << 20), headers={**JSON, "X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (413, "mine")


def test_a_stream_has_it(live: Callable[..., Actor]) -> None:
    acme = live("Acme", model="builtin")
    path = f"/{acme.new_conversation()}/messages"
    answer = acme.customer("POST", path, json={"message": "hello"}, headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (200, "mine")
