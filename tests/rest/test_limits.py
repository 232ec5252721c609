"""Exactly as many REST requests a minute pass as the tenant may make, and each answer says how many are left."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable

import httpx
import pytest

from tenants.limits import WINDOW_SECONDS, RequestWindows
from tenants.provisioning import do_create_key, do_revoke_key
from tests.rest.wire import JSON, Answer, assert_refused, exchange
from tests.support.actors import Actor
from tests.support.servers import Server

NewActor = Callable[..., Actor]
COUNTED = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: what is counted is decided behind it."""
    return live_server_uvicorn


@pytest.fixture
def acme(live: NewActor) -> Actor:
    return live("Acme", rest_per_minute=100, model="builtin")


def figures(answer: httpx.Response | Answer) -> list[int | None]:
    """Limit, remaining and reset."""
    return [int(value) if (value := answer.headers.get(name)) else None for name in COUNTED]


def used(acme: Actor) -> int:
    """How many requests were counted before this one."""
    return 99 - int(acme.rest("GET", "/user/alice").headers["X-RateLimit-Remaining"])


# --- Exactness ---


async def test_of_300_requests_at_32_at_once_exactly_100_pass(acme: Actor) -> None:
    limits = httpx.Limits(max_connections=32)
    async with httpx.AsyncClient(verify=False, limits=limits, headers={"X-API-Key": acme.tenant_key}) as client:
        address = acme.base + "/api/v1/chats/user/alice"
        answers = await asyncio.gather(*(client.get(address, timeout=60) for _ in range(300)))
    passed = [answer for answer in answers if answer.status_code == 404]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(passed), len(refused)) == (100, 200)
    assert sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in passed) == list(range(100))
    assert {answer.headers["X-RateLimit-Remaining"] for answer in refused} == {"0"}
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"100"}
    for answer in refused:
        assert_refused(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert answer.headers["Retry-After"] == answer.headers["X-RateLimit-Reset"]
        assert answer.json()["details"]["retry_after"] == int(answer.headers["Retry-After"])


def test_the_figures_go_down_one_by_one_and_never_up(live: NewActor) -> None:
    acme = live("Acme", rest_per_minute=5)
    begun = time.monotonic()
    answers = [acme.rest("GET", "/user/alice") for _ in range(8)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 3
    assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers] == [4, 3, 2, 1, 0, 0, 0, 0]
    resets = [int(answer.headers["X-RateLimit-Reset"]) for answer in answers]
    assert resets == sorted(resets, reverse=True)
    # The window ends 60 seconds after its first request, rounded up; what passed since bounds it from below.
    assert resets[0] == 60
    assert 60 - (time.monotonic() - begun) - 1 < resets[-1] <= 60


def test_the_customer_face_tells_of_it_in_its_own_shape(live: NewActor) -> None:
    acme = live("Acme", rest_per_minute=1)
    assert acme.customer("POST", "").status_code == 201
    answer = acme.customer("POST", "")
    assert_refused(answer, 429, "RATE_LIMIT_EXCEEDED", face="customer")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert figures(answer) == [1, 0, int(answer.headers["Retry-After"])]


def test_what_is_refused_does_nothing(live: NewActor) -> None:
    acme = live("Acme", rest_per_minute=2)
    chat_id = acme.new_chat()
    assert acme.rest("GET", f"/{chat_id}").status_code == 200
    assert acme.rest("DELETE", f"/{chat_id}").status_code == 429
    raised = acme.tenant
    raised.rest_per_minute = 10
    raised.save()
    assert acme.rest("GET", f"/{chat_id}").status_code == 200


# --- What counts ---


def test_both_faces_and_all_keys_of_a_tenant_count_together(acme: Actor) -> None:
    _, second = do_create_key(tenant=acme.tenant, kind="tenant")
    acme.rest("GET", "/user/alice")
    acme.rest("GET", "/user/alice", headers={"X-API-Key": second})
    acme.customer("POST", "")
    assert used(acme) == 3


def test_tenants_count_each_for_itself(acme: Actor, live: NewActor) -> None:
    globex = live("Globex", rest_per_minute=100)
    for _ in range(3):
        globex.rest("GET", "/user/alice")
    assert used(acme) == 0


@pytest.mark.parametrize(
    ("method", "target", "key", "status"),
    [
        ("GET", "/api/v1/chats/user/alice", "tenant", 404),
        ("GET", "/api/v1/chats/malformed", "tenant", 404),
        ("DELETE", "/api/v1/chats/malformed", "tenant", 404),
        ("PUT", "/api/v1/chats/", "tenant", 405),
        ("OPTIONS", "/api/v1/chats/", "tenant", 405),
        ("HEAD", "/api/v1/chats/user/alice", "tenant", 404),
        ("POST", "/api/v1/chats/", "tenant", 400),
        ("GET", "/api/v1/chats/user/alice?limit=0", "tenant", 400),
        ("POST", "/api/v1/chats/", "customer", 403),
        ("GET", "/api/v1/nothing", "tenant", 404),
        ("GET", "/api/v1/", "tenant", 404),
        ("POST", "/api/v1/customer/conversations", "customer", 201),
        ("POST", "/api/v1/customer/conversations", "tenant", 403),
        ("GET", "/api/v1/customer/conversations/malformed/messages", "customer", 404),
        ("PATCH", "/api/v1/customer/conversations", "customer", 405),
        ("GET", "/api/v1/customer/nothing", "customer", 404),
    ],
)
def test_a_request_with_a_known_key_counts_whatever_it_is_answered(
    acme: Actor, method: str, target: str, key: str, status: int
) -> None:
    held = acme.tenant_key if key == "tenant" else acme.customer_key
    headers = {"X-API-Key": held, "Authorization": f"Bearer {held}"}
    answer = exchange(acme.base, method, target, headers=headers)
    assert answer.status_code == status
    assert figures(answer)[:2] == [100, 99]
    assert used(acme) == 1


def test_a_body_that_is_too_large_counts(acme: Actor) -> None:
    answer = acme.rest("POST", "/", content=b" " * ((1 << 20) + 1), headers=JSON)
    assert (answer.status_code, figures(answer)[1]) == (413, 99)
    assert used(acme) == 1


def test_a_stream_counts_once_and_carries_the_figures(acme: Actor) -> None:
    path = f"/{acme.new_conversation()}/messages"
    answer = acme.customer("POST", path, json={"message": "hello"})
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert figures(answer)[:2] == [100, 98]
    assert used(acme) == 2


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/admin/", "/admin/login/", "/nothing", "/static/nothing"])
def test_what_is_not_the_api_does_not_count(acme: Actor, target: str) -> None:
    headers = {"X-API-Key": acme.tenant_key, "Authorization": f"Bearer {acme.customer_key}"}
    answer = exchange(acme.base, "GET", target, headers=headers)
    assert figures(answer) == [None, None, None]
    assert used(acme) == 0


def test_an_unknown_key_has_no_figures_and_costs_its_tenant_nothing(acme: Actor) -> None:
    row, key = do_create_key(tenant=acme.tenant, kind="tenant")
    do_revoke_key(row)
    answer = acme.rest("GET", "/user/alice", headers={"X-API-Key": key})
    assert (answer.status_code, figures(answer)) == (401, [None, None, None])
    assert used(acme) == 0


def test_a_changed_limit_holds_at_once(acme: Actor) -> None:
    acme.rest("GET", "/user/alice")
    acme.tenant.rest_per_minute = 2
    acme.tenant.save()
    assert [acme.rest("GET", "/user/alice").status_code for _ in range(2)] == [404, 429]


# --- The window, on a clock of the test's own ---


def test_a_window_opens_with_the_first_request_after_the_last_one_closed(acme: Actor) -> None:
    now = itertools.chain([1000.0, 1059.5, 1059.9, 1060.0, 1200.0])
    windows = RequestWindows(clock=lambda: next(now))
    first, second, third, fourth, fifth = (windows.count(acme.tenant_id, 2) for _ in range(5))
    assert [verdict.allowed for verdict in (first, second, third, fourth, fifth)] == [True, True, False, True, True]
    assert [verdict.remaining for verdict in (first, second, third, fourth, fifth)] == [1, 0, 0, 1, 1]
    assert [verdict.reset for verdict in (first, second, third, fourth, fifth)] == [60, 1, 1, 60, 60]
    assert WINDOW_SECONDS == 60


def test_a_client_that_waits_as_long_as_it_is_told_passes(acme: Actor) -> None:
    now = 1000.25
    windows = RequestWindows(clock=lambda: now)
    windows.count(acme.tenant_id, 1)
    now = 1007.75
    refused = windows.count(acme.tenant_id, 1)
    assert not refused.allowed
    now += refused.reset
    assert windows.count(acme.tenant_id, 1).allowed


def test_closed_windows_are_forgotten() -> None:
    now = 0.0
    windows = RequestWindows(clock=lambda: now)
    for _ in range(5000):
        now += 1
        windows.count(uuid.uuid4(), 1)
    assert len(windows._windows) < 1100
