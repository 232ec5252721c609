"""H5: who shows no valid key has so many requests a minute of one address, and takes nothing from who does."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db.backends.utils import CursorWrapper

from chats.tokens import make_token
from core.db.executor import in_thread
from tenants import keys
from tenants.models import ApiKey
from tenants.provisioning import do_create_key, do_revoke_key
from tests.cluster.conftest import OwnRedis, new_process, own_redis
from tests.conftest import served
from tests.faults.conftest import closed_sockets, new_server, on_own_database
from tests.rest.wire import assert_refused
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.support.servers import Server

__all__ = ["closed_sockets", "new_process", "new_server", "on_own_database", "own_redis"]

LIMIT = 12
CHATS = "/api/v1/chats/"
CONVERSATIONS = "/api/v1/customer/conversations"


@pytest.fixture(scope="module")
def behind_proxy(pristine: str, model_server: str, folder: Path) -> Iterator[Server]:
    """A server that believes the tests what they say of a client's address."""
    yield from served(
        folder / "strangers.log", model_server, STRANGERS_PER_MINUTE=str(LIMIT), TRUSTED_PROXIES="127.0.0.1"
    )


@pytest.fixture
def server(behind_proxy: Server) -> Server:
    return behind_proxy


def new_address() -> str:
    """An address that nobody had before: the windows are there for a minute."""
    return ".".join(str(random.randrange(1, 255)) for _ in range(4))


class Stranger:
    """Who comes from an address of its own."""

    def __init__(self, server: Server, address: str | None = None, **headers: str) -> None:
        self.base = server.http
        self.headers = {"X-Forwarded-For": address or new_address(), **headers}

    def ask(self, path: str = CHATS, method: str = "GET", **headers: str) -> httpx.Response:
        return httpx.request(method, self.base + path, headers=self.headers | headers, verify=False, timeout=60)

    def wear_out(self) -> Stranger:
        """Have the share of the address, and no more."""
        assert [self.ask().status_code for _ in range(LIMIT)] == [401] * LIMIT
        return self

    async def ask_together(self, count: int, **headers: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(verify=False, timeout=60, headers=self.headers | headers) as client:
            return await asyncio.gather(*(client.get(self.base + CHATS) for _ in range(count)))

    async def knock(self, path: str = "/ws/chat", **query: str) -> Socket:
        base = "ws" + self.base.removeprefix("http")
        return await Socket.open(base, path=path, headers=self.headers, **query)

    async def refusal(self, path: str = "/ws/chat", **query: str) -> tuple[str, int]:
        """Code of the one event, and of the close."""
        socket = await self.knock(path, **query)
        code, _ = await socket.closed()
        [event] = socket.events
        return event["error_code"], code


@pytest.fixture
def stranger(server: Server) -> Stranger:
    return Stranger(server)


# --- So many, and no more ---


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-API-Key": "lxt_nonsense"}, {"X-API-Key": keys.new_key("tenant")}, {"Authorization": "Bearer x"}],
    ids=["no key", "malformed", "unknown", "of the other face"],
)
async def test_exactly_so_many_pass_however_many_come_at_once(stranger: Stranger, headers: dict[str, str]) -> None:
    answers = await stranger.ask_together(3 * LIMIT, **headers)
    assert sorted(answer.status_code for answer in answers) == [401] * LIMIT + [429] * 2 * LIMIT
    for answer in answers:
        if answer.status_code == 429:
            body = assert_refused(answer, 429, "RATE_LIMIT_EXCEEDED")
            assert 0 < int(answer.headers["Retry-After"]) <= 60
            assert body["details"]["retry_after"] == int(answer.headers["Retry-After"])
            assert "X-RateLimit-Limit" not in answer.headers


def test_the_customer_face_says_it_in_its_own_shape(stranger: Stranger) -> None:
    stranger.wear_out()
    assert_refused(stranger.ask(CONVERSATIONS, "POST"), 429, "RATE_LIMIT_EXCEEDED", face="customer")


async def test_handshakes_and_requests_count_together(stranger: Stranger) -> None:
    for number in range(LIMIT):
        if number % 3 == 0:
            assert await stranger.refusal(api_key=keys.new_key("tenant")) == ("AUTH_ERROR", 4401)
        elif number % 3 == 1:
            assert await stranger.refusal("/ws/nothing") == ("NOT_FOUND", 4404)
        else:
            assert stranger.ask("/nothing").status_code == 404
    assert stranger.ask().status_code == 429
    for path, query in (("/ws/chat", {}), ("/ws/chat", {"token": "a:b:c"}), ("/ws/nothing", {}), ("/", {})):
        socket = await stranger.knock(path, **query)
        assert await socket.closed() == (4429, "RATE_LIMIT_EXCEEDED")
        [event] = socket.events
        assert 0 < event["details"]["retry_after"] <= 60


@pytest.mark.parametrize(
    "path", ["/", "/chat", "/widget.js", "/admin/login/", "/api/docs/", "/api/schema/", "/nothing"]
)
def test_pages_and_documents_are_refused_too(stranger: Stranger, path: str) -> None:
    assert_refused(stranger.wear_out().ask(path), 429, "RATE_LIMIT_EXCEEDED")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/static/lexicon/page.js"])
def test_health_and_files_are_never_refused_and_count_for_nothing(stranger: Stranger, path: str) -> None:
    # Two servers of the tests on one SQLite are not ready, and say so.
    usual = (200, 503) if path == "/readyz" else (200,)
    for _ in range(LIMIT):
        assert stranger.ask(path).status_code in usual
    assert stranger.wear_out().ask().status_code == 429
    assert stranger.ask(path).status_code in usual


# --- Whose address it is ---


def test_addresses_count_each_for_itself(stranger: Stranger, server: Server) -> None:
    assert stranger.wear_out().ask().status_code == 429
    assert Stranger(server).ask().status_code == 401


def test_an_ipv6_network_is_one_address(server: Server) -> None:
    network = f"2001:db8:{random.randrange(1 << 16):x}:{random.randrange(1 << 16):x}"
    Stranger(server, f"{network}::1").wear_out()
    assert Stranger(server, f"{network}:ffff::2").ask().status_code == 429
    assert Stranger(server, f"[{network}::3]:4711").ask().status_code == 429
    assert Stranger(server, f"2001:db8:{random.randrange(1 << 16):x}:ffff::1").ask().status_code == 401


def test_an_ipv4_address_is_itself_however_it_is_written(server: Server) -> None:
    address = new_address()
    Stranger(server, address).wear_out()
    assert Stranger(server, f"::ffff:{address}").ask().status_code == 429
    assert Stranger(server, f"10.1.2.3, {address}").ask().status_code == 429


def test_a_private_address_that_a_trusted_proxy_names_is_bounded(server: Server) -> None:
    address = f"10.{random.randrange(256)}.{random.randrange(256)}.9"
    assert Stranger(server, address).wear_out().ask(**{"X-Real-IP": "203.0.113.1"}).status_code == 429


# --- Who is no stranger ---


def test_a_valid_key_is_never_refused(stranger: Stranger, acme: Actor) -> None:
    stranger.ask(**{"X-API-Key": acme.tenant_key})
    stranger.wear_out()
    _, unseen = do_create_key(tenant=acme.tenant, kind="tenant")
    for key in (acme.tenant_key, unseen):
        assert stranger.ask(**{"X-API-Key": key}).status_code == 200
        assert stranger.ask("/api/docs/", **{"X-API-Key": key}).status_code == 200
    bearer = {"Authorization": f"Bearer {acme.customer_key}"}
    assert stranger.ask(CONVERSATIONS, "POST", **bearer).status_code == 201
    assert stranger.ask().status_code == 429


def test_a_valid_key_costs_its_address_nothing(stranger: Stranger, acme: Actor) -> None:
    for _ in range(2 * LIMIT):
        assert stranger.ask(**{"X-API-Key": acme.tenant_key}).status_code == 200
    # Nor does one that may not do what it asks for.
    for _ in range(2 * LIMIT):
        assert stranger.ask(**{"X-API-Key": acme.customer_key}).status_code == 403
    stranger.wear_out()


async def test_many_keys_that_were_never_seen_pass_at_once_beside_a_flood(stranger: Stranger, acme: Actor) -> None:
    def new_keys() -> list[str]:
        stranger.wear_out()
        return [do_create_key(tenant=acme.tenant, kind="tenant")[1] for _ in range(10)]

    shown = await in_thread(new_keys)
    async with httpx.AsyncClient(verify=False, timeout=60, headers=stranger.headers) as client:
        flood = [keys.new_key("tenant") for _ in range(40)]
        asked = [client.get(stranger.base + CHATS, headers={"X-API-Key": key}) for key in [*shown, *flood]]
        random.shuffle(asked)
        answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200] * len(shown) + [429] * len(flood)


def test_a_key_that_dies_makes_a_stranger(stranger: Stranger, acme: Actor) -> None:
    row, key = do_create_key(tenant=acme.tenant, kind="tenant")
    assert stranger.ask(**{"X-API-Key": key}).status_code == 200
    do_revoke_key(row)
    assert stranger.ask(**{"X-API-Key": key}).status_code == 401
    assert [stranger.ask().status_code for _ in range(LIMIT)] == [401] * (LIMIT - 1) + [429]
    assert stranger.ask(**{"X-API-Key": key}).status_code == 429


async def test_sockets_with_a_key_or_a_token_are_let_in(stranger: Stranger, acme: Actor) -> None:
    chat_id = await in_thread(acme.new_chat)
    await in_thread(stranger.wear_out)
    key = await in_thread(ApiKey.objects.all_tenants().get, tenant=acme.tenant, kind="tenant")
    token, _ = make_token(key=key, chat_id=chat_id, user_id="alice", ttl_seconds=60)  # type: ignore[arg-type]
    for query in ({"api_key": acme.tenant_key, "user_id": "alice", "chat_id": chat_id}, {"token": token}):
        async with await stranger.knock(**query) as socket:
            assert (await socket.next())["event_type"] == "connection_established"
    # What is wrong besides is told as ever.
    assert await stranger.refusal(api_key=acme.tenant_key) == ("AUTH_ERROR", 4401)
    assert await stranger.refusal("/ws/nothing", api_key=acme.tenant_key) == ("NOT_FOUND", 4404)
    await in_thread(do_revoke_key, key)
    assert await stranger.refusal(token=token) == ("RATE_LIMIT_EXCEEDED", 4429)


def signed_in(name: str) -> str:
    """The cookie of somebody of the staff."""
    user = User.objects.create_superuser(name)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def test_staff_who_are_logged_in_are_never_locked_out(stranger: Stranger, live: Callable[..., Actor]) -> None:
    stranger.wear_out()
    cookie = signed_in(f"ada-{random.random()}")
    assert stranger.ask("/admin/", Cookie=cookie).status_code == 200
    assert stranger.ask("/admin/", Cookie=f"{settings.SESSION_COOKIE_NAME}={'x' * 32}").status_code == 429


# --- What a refusal costs ---


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those of this process, in whatever thread."""
    found: list[str] = []
    real = CursorWrapper.execute

    def execute(self: Any, sql: str, params: Any = None) -> Any:
        found.append(sql)
        return real(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", execute)
    return found


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, live: Callable[..., Actor]) -> httpx.AsyncClient:
    """The application in this process, to a client with an address of its own."""
    from lexicon.asgi import application

    monkeypatch.setattr(settings, "STRANGERS_PER_MINUTE", LIMIT)
    transport = httpx.ASGITransport(application, client=(new_address(), 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_what_is_refused_asks_the_database_nothing(inside: httpx.AsyncClient, statements: list[str]) -> None:
    unknown = {"X-API-Key": keys.new_key("tenant")}
    assert [(await inside.get(CHATS, headers=unknown)).status_code for _ in range(LIMIT)] == [401] * LIMIT
    statements.clear()
    for headers in (unknown, {}, {"X-API-Key": "x"}, {"Cookie": f"{settings.SESSION_COOKIE_NAME}=no"}):
        for path in (CHATS, "/admin/", "/"):
            for _ in range(5):
                assert (await inside.get(path, headers=headers)).status_code == 429
    assert statements == []


async def test_keys_that_are_made_up_share_their_statements(inside: httpx.AsyncClient, statements: list[str]) -> None:
    shown = [{"X-API-Key": keys.new_key("tenant")} for _ in range(300)]
    answers = await asyncio.gather(*(inside.get(CHATS, headers=headers) for headers in shown))
    assert sorted({answer.status_code for answer in answers}) == [401, 429]
    assert len(statements) < 30


# --- Behind a proxy that is not trusted ---


def test_behind_an_untrusted_proxy_nobody_is_bounded_and_the_log_says_so_once(
    new_server: Callable[..., Server],
) -> None:
    server = new_server(STRANGERS_PER_MINUTE="3")
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        forwarded = {header: "203.0.113.7"}
        answers = [httpx.get(server.http + CHATS, headers=forwarded, verify=False).status_code for _ in range(5)]
        assert answers == [401] * 5
    # Who comes by itself is: from an address of its own, for Redis remembers those of other tests.
    own = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    with httpx.Client(transport=httpx.HTTPTransport(local_address=own, verify=False)) as client:
        direct = [client.get(server.http + CHATS).status_code for _ in range(5)]
    assert direct == [401] * 3 + [429] * 2
    lines = [line for line in server.log.read_text().splitlines() if "TRUSTED_PROXIES" in line]
    assert [json.loads(line)["level"] for line in lines] == ["ERROR"]


def test_a_bound_of_0_is_none(new_server: Callable[..., Server]) -> None:
    server = new_server(STRANGERS_PER_MINUTE="0")
    assert {httpx.get(server.http + CHATS, verify=False).status_code for _ in range(20)} == {401}


# --- Several processes ---


@pytest.mark.several
def test_processes_share_the_window_while_redis_is_there(
    new_process: Callable[..., Server], own_redis: OwnRedis
) -> None:
    given = {"STRANGERS_PER_MINUTE": str(LIMIT), "TRUSTED_PROXIES": "127.0.0.1"}
    first, second = new_process(**given), new_process(**given)
    here, address = Stranger(first), new_address()
    there = Stranger(second, here.headers["X-Forwarded-For"])
    answers = [side.ask().status_code for _ in range(LIMIT) for side in (here, there)]
    assert answers == [401] * LIMIT + [429] * LIMIT
    own_redis.kill()
    # Each for itself now; what a process knows it goes on to know.
    assert here.ask().status_code == 429
    for process in (first, second):
        assert Stranger(process, address).wear_out().ask().status_code == 429


# --- The Host header ---


@pytest.mark.parametrize(("path", "face"), [(CHATS, "lexicon"), (CONVERSATIONS, "customer"), ("/metrics", "lexicon")])
def test_a_foreign_name_is_refused_where_no_key_is_valid(stranger: Stranger, path: str, face: str) -> None:
    foreign = {"Host": "rebound.example.com"}
    assert_refused(stranger.ask(path, **foreign), 400, "INVALID_REQUEST", face=face)
    assert_refused(stranger.ask(path, **foreign, **{"X-API-Key": "x"}), 400, "INVALID_REQUEST", face=face)


def test_a_foreign_name_matters_neither_to_a_valid_key_nor_to_health(stranger: Stranger, acme: Actor) -> None:
    foreign = {"Host": "rebound.example.com"}
    assert stranger.ask(**foreign, **{"X-API-Key": acme.tenant_key}).status_code == 200
    for path in ("/healthz", "/readyz"):
        # Two servers of the tests on one SQLite are not ready.
        assert stranger.ask(path, **foreign).json()["status"] in ("alive", "ready", "not ready")


async def test_a_socket_by_a_foreign_name_needs_a_valid_key(stranger: Stranger, acme: Actor) -> None:
    chat_id = await in_thread(acme.new_chat)
    foreign = "ws://rebound.example.com" + "/ws/chat?user_id=alice&chat_id=" + chat_id
    port = int(stranger.base.rpartition(":")[2])
    here: dict[str, Any] = {"host": "127.0.0.1", "port": port, "compression": None, "proxy": None}
    here["additional_headers"] = stranger.headers
    async with websockets.connect(foreign, **here) as connection:
        assert json.loads(await connection.recv())["error_code"] == "INVALID_REQUEST"
        await connection.wait_closed()
        assert connection.close_code == 4400
    async with websockets.connect(f"{foreign}&api_key={acme.tenant_key}", **here) as connection:
        assert json.loads(await connection.recv())["event_type"] == "connection_established"


@pytest.fixture
def acme(live: Callable[..., Actor]) -> Actor:
    return live("Acme")
