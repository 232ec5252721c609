"""H5: who chats by the page has bounds of its address, and never takes a place of the tenant's own."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core import signing
from playwright.async_api import Browser, expect

from chats.models import Chat, Connection
from chats.tokens import make_token, read_token
from core.addresses import network_id
from core.db.executor import in_thread
from tenants.models import ApiKey, Tenant
from tests.cluster.conftest import own_redis
from tests.conftest import served
from tests.faults.conftest import closed_sockets, new_server, on_own_database
from tests.rest.wire import assert_refused
from tests.support.actors import Actor, new_actor
from tests.support.client import Socket, eventually
from tests.support.servers import Server
from tests.web.conftest import browser
from web.page import COOKIE

__all__ = ["browser", "closed_sockets", "new_server", "on_own_database", "own_redis"]

VISITORS, MESSAGES, SOCKETS = 4, 5, 3


@pytest.fixture(scope="module")
def owner(pristine: str, django_db_blocker) -> Actor:  # type: ignore[no-untyped-def]
    """Whose page it is."""
    with django_db_blocker.unblock():
        return new_actor("Acme", model="builtin", user_messages_per_minute=1000)


def bounds(owner: Actor) -> dict[str, str]:
    return {
        "CHAT_PAGE_TENANT": str(owner.tenant_id),
        "TRUSTED_PROXIES": "127.0.0.1",
        "VISITORS_PER_HOUR": str(VISITORS),
        "VISITOR_MESSAGES_PER_MINUTE": str(MESSAGES),
        "VISITOR_CONNECTIONS": str(SOCKETS),
    }


@pytest.fixture(scope="module")
def page_server(owner: Actor, model_server: str, folder: Path) -> Iterator[Server]:
    yield from served(folder / "visitors.log", model_server, **bounds(owner))


@pytest.fixture
def server(page_server: Server, owner: Actor, django_db_blocker) -> Iterator[Server]:  # type: ignore[no-untyped-def]
    owner.base = page_server.http
    with django_db_blocker.unblock():
        yield page_server


def new_address() -> str:
    """An address that nobody had before: the windows are there for an hour."""
    return ".".join(str(random.randrange(1, 255)) for _ in range(4))


class Browsing:
    """A browser without an earlier visit. It comes from `own`, or through a proxy that tells of `address`."""

    def __init__(self, base: str, address: str = "", *, own: str | None = None) -> None:
        self.base = base
        self.headers = {"X-Forwarded-For": address} if address else {}
        self.own = own
        self.cookies = httpx.Cookies()

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        transport = httpx.HTTPTransport(verify=False, local_address=self.own)
        with httpx.Client(transport=transport, cookies=self.cookies, timeout=60) as client:
            answer = client.request(method, self.base + path, headers=self.headers | headers)
        self.cookies.update(answer.cookies)
        return answer

    def come(self, *, anew: bool = False) -> httpx.Response:
        token = re.search(r'name="csrf-token" content="(\w+)"', self.ask("GET", "/").text)
        assert token is not None
        return self.ask("POST", "/chat?new" if anew else "/chat", **{"X-CSRFToken": token[1]})

    async def open(self) -> Socket:
        token = (await in_thread(self.come)).json()["token"]
        return await Socket.open("ws" + self.base.removeprefix("http"), headers=self.headers, token=token)

    async def join(self) -> Socket:
        socket = await self.open()
        await socket.until("connection_established")
        return socket


async def refusal(socket: Socket) -> tuple[str, int]:
    """Code of the one event, and of the close."""
    code, _ = await socket.closed()
    [event] = socket.events
    return event["error_code"], code


@pytest.fixture
def address() -> str:
    return new_address()


# --- New visitors ---


async def test_exactly_so_many_new_visitors_come_from_one_address(server: Server, address: str) -> None:
    come = (in_thread(Browsing(server.http, address).come) for _ in range(3 * VISITORS))
    answers = await asyncio.gather(*come)
    assert sorted(answer.status_code for answer in answers) == [200] * VISITORS + [429] * 2 * VISITORS
    for answer in answers:
        if answer.status_code == 429:
            body = assert_refused(answer, 429, "RATE_LIMIT_EXCEEDED")
            assert 3500 < int(answer.headers["Retry-After"]) <= 3600
            assert body["details"]["retry_after"] == int(answer.headers["Retry-After"])
            assert COOKIE not in answer.cookies
    assert Browsing(server.http, new_address()).come().status_code == 200


def test_an_ipv6_network_is_one_address(server: Server) -> None:
    network = f"2001:db8:{random.randrange(1 << 16):x}:{random.randrange(1 << 16):x}"
    answers = [Browsing(server.http, f"{network}::{number}").come().status_code for number in range(1, VISITORS + 2)]
    assert answers == [200] * VISITORS + [429]


def test_who_was_there_before_may_always_come_back(server: Server, address: str) -> None:
    known = Browsing(server.http, address)
    assert known.come().status_code == 200
    while Browsing(server.http, address).come().status_code == 200:
        pass
    assert [known.come().status_code for _ in range(3)] == [200] * 3
    assert known.come(anew=True).status_code == 200


def test_new_chats_in_which_nothing_is_said_are_one(server: Server, address: str, owner: Actor) -> None:
    visitor = Browsing(server.http, address)
    first = visitor.come()
    chats = {first.json()["chat_id"]}
    for _ in range(5):
        visitor.cookies = httpx.Cookies(visitor.cookies)
        visitor.cookies.update(first.cookies)
        chats.add(visitor.come(anew=True).json()["chat_id"])
    assert len(chats) == 1


# --- Their messages ---


async def test_so_many_messages_a_minute_pass_of_all_visitors_of_an_address(server: Server, address: str) -> None:
    visitors = [Browsing(server.http, address) for _ in range(2)]
    sockets = [await visitor.join() for visitor in visitors]
    for number in range(MESSAGES):
        await sockets[number % 2].say(f"hello {number}")
    for socket in sockets:
        await socket.send({"content": "one more", "client_message_id": "m-1"})
        error = await socket.until("error")
        assert error["error_code"] == "RATE_LIMIT_EXCEEDED"
        assert error["details"]["client_message_id"] == "m-1"
        assert 0 < error["details"]["retry_after"] <= 60
        await socket.quiet()  # It stays open.
    other = await Browsing(server.http, new_address()).join()
    await other.say("hello")


async def test_messages_of_keys_and_of_a_backends_tokens_are_no_visitors(
    server: Server, address: str, owner: Actor
) -> None:
    chat_id = await in_thread(owner.new_chat)
    token = (await in_thread(owner.rest, "POST", f"/{chat_id}/tokens")).json()["token"]
    forwarded = {"X-Forwarded-For": address}
    for _ in range(SOCKETS + 1):
        by_token = await Socket.open(owner.ws, headers=forwarded, token=token)
        await by_token.until("connection_established")
    for number in range(MESSAGES + 1):
        await by_token.say(f"hello {number}")


# --- Their sockets ---


async def test_so_many_sockets_of_an_address_are_open_at_once(server: Server, address: str) -> None:
    visitors = [Browsing(server.http, address) for _ in range(2)]
    sockets = [await visitors[number % 2].join() for number in range(SOCKETS)]
    assert await refusal(await visitors[0].open()) == ("CONNECTION_LIMIT_EXCEEDED", 4429)
    other = await Browsing(server.http, new_address()).join()
    await other.close()
    await sockets[0].close()

    async def joined() -> bool:
        socket = await visitors[0].open()
        return (await socket.next())["event_type"] == "connection_established"

    await eventually(joined)


async def test_of_many_at_once_exactly_so_many_are_let_in(server: Server, address: str) -> None:
    visitor = Browsing(server.http, address)
    await in_thread(visitor.come)
    sockets = await asyncio.gather(*(visitor.open() for _ in range(4 * SOCKETS)))
    firsts = [(await socket.next())["event_type"] for socket in sockets]
    assert sorted(firsts) == ["connection_established"] * SOCKETS + ["error"] * 3 * SOCKETS


async def test_visitors_take_none_of_the_tenants_places(server: Server, owner: Actor) -> None:
    def resize(places: int) -> None:
        Tenant.objects.filter(id=owner.tenant_id).update(ws_connections=places)

    await in_thread(resize, 5)
    try:
        inside = [await Browsing(server.http, new_address()).join() for _ in range(2)]
        outside = await Browsing(server.http, new_address()).open()
        assert await refusal(outside) == ("CONNECTION_LIMIT_EXCEEDED", 4429)
        chat_id = await in_thread(owner.new_chat)
        own = [await owner.join(chat_id) for _ in range(5)]
        refused = await Socket.open(owner.ws, api_key=owner.tenant_key, user_id="alice", chat_id=chat_id)
        assert await refusal(refused) == ("CONNECTION_LIMIT_EXCEEDED", 4429)
        for socket in (*inside, *own):
            await socket.close()
    finally:
        await in_thread(resize, owner.tenant.ws_connections)


async def test_an_address_is_not_stored_as_it_is(server: Server, address: str) -> None:
    await Browsing(server.http, address).join()
    rows = await in_thread(lambda: list(Connection.objects.all_tenants().filter(network=network_id(address)).values()))
    assert [row["of_visitor"] for row in rows] == [True]
    assert address not in str(rows)


# --- Tokens ---


def test_a_token_of_the_version_before_opens_as_ever(server: Server, owner: Actor) -> None:
    key = ApiKey.objects.for_tenant(owner.tenant_id).get(kind="tenant")
    chat = Chat.objects.for_tenant(owner.tenant_id).get(id=owner.new_chat())
    named: dict[str, Any] = {"key": key, "chat_id": chat.id, "user_id": "alice", "ttl_seconds": 60}
    plain, _ = make_token(**named)
    of_visitor, _ = make_token(**named, of_visitor=True)
    assert len(signing.loads(plain, salt="lexicon.chat-token")) == 4
    assert (read_token(plain).of_visitor, read_token(of_visitor).of_visitor) == (False, True)


# --- Where nobody can tell whose address it is ---


async def test_behind_an_untrusted_proxy_only_the_tenants_places_bound_visitors(
    new_server: Callable[..., Server], on_own_database: None
) -> None:
    acme = await in_thread(lambda: new_actor("Acme", model="builtin", ws_connections=2 * SOCKETS + 4))
    given = bounds(acme) | {"TRUSTED_PROXIES": ""}
    server = await asyncio.to_thread(lambda: new_server(**given))
    sockets = [await Browsing(server.http, "203.0.113.7").join() for _ in range(SOCKETS + 2)]
    assert len(sockets) > max(VISITORS, SOCKETS)
    assert await refusal(await Browsing(server.http, "203.0.113.7").open()) == ("CONNECTION_LIMIT_EXCEEDED", 4429)
    assert server.log.read_text().count("TRUSTED_PROXIES") == 1
    # Who comes by itself is bounded. Redis may remember others for an hour.
    own = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    answers = [Browsing(server.http, own=own).come().status_code for _ in range(VISITORS + 1)]
    assert answers == [200] * VISITORS + [429]


# --- Several processes ---


@pytest.mark.several
async def test_processes_count_together(
    new_server: Callable[..., Server], own_redis: Any, on_own_database: None, address: str
) -> None:
    acme = await in_thread(lambda: new_actor("Acme", model="builtin"))
    given = bounds(acme) | {"REDIS_URL": own_redis.url}
    pair = [await asyncio.to_thread(lambda: new_server(**given)) for _ in range(2)]
    come = [Browsing(pair[number % 2].http, address) for number in range(VISITORS + 1)]
    assert [(await in_thread(visitor.come)).status_code for visitor in come] == [200] * VISITORS + [429]
    sockets = [await come[number].join() for number in range(SOCKETS)]
    assert await refusal(await come[SOCKETS].open()) == ("CONNECTION_LIMIT_EXCEEDED", 4429)
    for number in range(MESSAGES):
        await sockets[number % SOCKETS].say(f"hello {number}")
    await sockets[0].send({"content": "one more"})
    assert (await sockets[0].until("error"))["error_code"] == "RATE_LIMIT_EXCEEDED"
    # The sockets of a process that dies count until its lease ends.
    await asyncio.to_thread(pair[0].kill)

    async def joined() -> bool:
        socket = await come[1].open()
        return (await socket.next())["event_type"] == "connection_established"

    await eventually(joined)


# --- What the page says ---


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_says_that_too_many_came_and_when_to_come_back(browser: Browser, server: Server) -> None:
    address = new_address()
    while (await in_thread(Browsing(server.http, address).come)).status_code == 200:
        pass
    context = await browser.new_context(extra_http_headers={"X-Forwarded-For": address})
    page = await context.new_page()
    await page.goto(server.http + "/")
    said = re.compile(
        r"Too many people use this chat from your network\. It goes on by itself in \d\d minutes, at .+\."
    )
    await expect(page.locator("#problem")).to_have_text(said)
    await expect(page.locator("#state")).to_have_text("Waiting")
    await context.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_says_that_too_many_chats_are_open(browser: Browser, server: Server) -> None:
    address = new_address()
    context = await browser.new_context(extra_http_headers={"X-Forwarded-For": address})
    pages = [await context.new_page() for _ in range(SOCKETS + 1)]
    for page in pages[:-1]:
        await page.goto(server.http + "/")
        await expect(page.locator("#state")).to_have_text("Connected")
    await pages[-1].goto(server.http + "/")
    await expect(pages[-1].locator("#problem")).to_have_text(
        "As many chats as one address may have are open from yours"
    )
    # It goes on by itself.
    await pages[0].close()
    await expect(pages[-1].locator("#state")).to_have_text("Connected")
    await expect(pages[-1].locator("#problem")).to_have_text("")
    await context.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_says_why_a_message_was_refused(browser: Browser, server: Server) -> None:
    context = await browser.new_context(extra_http_headers={"X-Forwarded-For": new_address()})
    page = await context.new_page()
    await page.goto(server.http + "/")
    await expect(page.locator("#state")).to_have_text("Connected")
    for number in range(MESSAGES + 1):
        await page.fill("#text", f"hello {number}")
        await page.keyboard.press("Enter")
    refused = page.locator(".user.refused")
    await expect(refused).to_contain_text(re.compile(r"Too many messages came from your address. Try again in \d+ sec"))
    await context.close()
