"""The code of the last release serves tables that today's code migrated, alone and beside today's: no 5xx, no loss.

That is what a rolling upgrade is made of, and the way back (docs/operations.md, Upgrade).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from chats.models import Message, Reply
from core.db.executor import in_thread
from knowledge.models import Article
from tests import settings as test_settings
from tests.support.actors import Actor, new_actor
from tests.support.client import Socket, read_sse, script
from tests.support.servers import Server
from tests.upgrade.release import LastRelease

NewProcess = Callable[[type[Server]], Server]

#: Chats at once, and what is said in each, under load.
CHATS = 6
ROUNDS = 4
TEXT = "The quick brown fox jumps over the lazy dog. "

_CSRF = "c" * 32


@pytest.fixture
def acme(on_own_database: None) -> Actor:
    """Acme, made by today's code; point `base` at a process before use."""
    return new_actor("Acme", model="openai:test")


@pytest.fixture
def before(new_process: NewProcess, acme: Actor) -> Server:
    """A process of the last release, to which Acme talks."""
    server = new_process(LastRelease)
    acme.base = server.http
    return server


@contextmanager
def staff(server: Server) -> Iterator[httpx.Client]:
    """A superuser's browser on that process's admin."""
    session = Client()
    session.force_login(User.objects.create_superuser("olga"))
    name = settings.SESSION_COOKIE_NAME
    cookies = {name: session.cookies[name].value, settings.CSRF_COOKIE_NAME: _CSRF}
    with httpx.Client(base_url=server.http, cookies=cookies, timeout=30, verify=False) as browser:
        yield browser


def submit(browser: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    return browser.post(path, data={"csrfmiddlewaretoken": _CSRF, **fields})


def customer_says(acme: Actor, conversation: str, message: str) -> list[tuple[int, Any]]:
    answer = acme.customer("POST", f"/{conversation}/messages", json={"message": message})
    assert answer.status_code == 200, answer.text
    return read_sse(answer.content)


async def test_it_answers_over_the_websocket(before: Server, acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    assert (await socket.say(script(say="Yes.")))["content"] == "Yes."
    history = (await in_thread(acme.rest, "GET", f"/{chat}/messages")).json()["messages"]
    assert [message["content"] for message in history][1:] == ["Yes."]


def test_it_answers_over_the_customer_api(before: Server, acme: Actor) -> None:
    events = customer_says(acme, acme.new_conversation(), script(say="Yes."))
    assert [data for _, data in events] == [{"type": "delta", "text": "Yes."}, "[DONE]"]


async def test_a_chat_is_escalated_answered_by_staff_and_handed_back(before: Server, acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)

    def of_staff(**fields: str) -> None:
        path = f"/admin/chats/chat/{chat}/change/"
        with staff(before) as browser:
            assert submit(browser, path, **fields).status_code == 302
            assert browser.get(path).status_code == 200
        User.objects.all().delete()

    await in_thread(of_staff, do="escalated")
    await socket.until("chat_status_changed", status="escalated")
    await in_thread(of_staff, text="A person looks at it.")
    ended = await socket.until("message_stream_ended")
    assert (ended["content"], ended["metadata"]["author"]) == ("A person looks at it.", "human")
    await in_thread(of_staff, do="active")
    await socket.until("chat_status_changed", status="active")
    assert (await socket.say(script(say="Yes.")))["content"] == "Yes."


def test_staff_make_a_key_and_save_an_article(before: Server, acme: Actor) -> None:
    with staff(before) as browser:
        made = submit(browser, "/admin/tenants/apikey/add/", tenant=acme.tenant_id, kind="tenant", name="new")
        [acme.tenant_key] = set(re.findall(r"lxt_[0-9A-Za-z]{36}", made.text))
        article = {"title": "Opening hours", "body": "Open from 9 to 5.", "language": "en", "state": "published"}
        saved = submit(browser, "/admin/agents/article/add/", tenant=acme.tenant_id, **article)
        tenant = submit(browser, "/admin/tenants/tenant/add/", name="Initech")
    assert saved.status_code == 302, saved.text
    # What its form does not find is its own business: it is answered, in any case.
    assert tenant.status_code in (200, 302)
    assert Article.objects.for_tenant(acme.tenant_id).get().title == "Opening hours"
    acme.new_chat()


# --- Beside today's code ---


class Talk:
    """A user who talks in one chat until all is answered, now at this process and now at that one."""

    def __init__(self, acme: Actor, chat: str) -> None:
        self.acme = acme
        self.chat = chat
        self.answered: list[str] = []

    async def go(self, servers: list[Server], rounds: int) -> None:
        for number in range(rounds):
            at, watched = servers[number % len(servers)], servers[(number + 1) % len(servers)]
            said = f"{TEXT}{len(self.answered)}"
            here, there = await self._join(at), await self._join(watched)
            ended = await here.say(script(say=said, tokens=10, total_ms=200))
            assert ended["content"] == said
            assert (await there.until("message_stream_ended"))["content"] == said
            assert here.of_type("error") + there.of_type("error") == []
            await here.close()
            await there.close()
            self.answered.append(ended["message_id"])

    async def _join(self, server: Server) -> Socket:
        socket = await Socket.open(server.ws, api_key=self.acme.tenant_key, user_id="alice", chat_id=self.chat)
        await socket.until("connection_established")
        return socket


async def talk(acme: Actor, talks: list[Talk], servers: list[Server]) -> None:
    """All of them at once, while others come over REST and the customer API: everybody gets an answer."""

    def others(server: Server) -> None:
        other = Actor(acme.tenant, acme.tenant_key, acme.customer_key, server.http)
        for _ in range(ROUNDS):
            other.new_chat()
            assert customer_says(other, other.new_conversation(), script(say="Yes."))[-1][1] == "[DONE]"

    rounds = [asyncio.create_task(one.go(servers, ROUNDS)) for one in talks]
    await asyncio.gather(*rounds, *(asyncio.to_thread(others, server) for server in servers))


async def new_talks(acme: Actor) -> list[Talk]:
    return [Talk(acme, await in_thread(acme.new_chat)) for _ in range(CHATS)]


def lost(acme: Actor, talks: list[Talk]) -> set[str]:
    """Replies that were told and are not stored, and those that are owed or failed."""
    replies = Reply.objects.for_tenant(acme.tenant_id)
    told = {key for one in talks for key in one.answered}
    stored = {str(key) for key in Message.objects.for_tenant(acme.tenant_id).values_list("id", flat=True)}
    return told - stored | {str(key) for key in replies.exclude(state=Reply.State.DONE).values_list("id", flat=True)}


if test_settings.ON_SQLITE:

    async def test_today_and_the_last_release_take_over_from_each_other(new_process: NewProcess, acme: Actor) -> None:
        talks: list[Talk] = []
        for kind in (Server, LastRelease, Server):
            server = await in_thread(new_process, kind)
            acme.base = server.http
            talks = talks or await new_talks(acme)
            await talk(acme, talks, [server])
            assert await asyncio.to_thread(server.terminate) == 0
        assert await in_thread(lost, acme, talks) == set()

else:

    async def test_today_and_the_last_release_serve_side_by_side(new_process: NewProcess, acme: Actor) -> None:
        servers = [await in_thread(new_process, kind) for kind in (Server, LastRelease)]
        acme.base = servers[0].http
        talks = await new_talks(acme)
        await talk(acme, talks, servers)
        assert await in_thread(lost, acme, talks) == set()
