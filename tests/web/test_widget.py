"""The widget on a tenant's own site, in a real browser: the worked example of docs/tokens-and-widget.md."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, FrameLocator, Page, expect

from chats.models import Chat
from core.db.executor import in_thread
from tenants.models import Tenant
from tests.support.actors import Actor
from tests.support.servers import ROOT, Server
from tests.web.browsing import PATIENCE_MS
from tests.web.shop import Shop, example
from tests.web.test_page import Release, held, release  # noqa: F401
from tests.web.tools import need

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once


@pytest.fixture
def shop(page_server: Server, acme: Actor, tmp_path: Path) -> Iterator[Shop]:
    """A site that Acme allows."""
    shop = Shop(tmp_path, page_server, tenant_id=acme.tenant_id, key=acme.tenant_key)
    allow(acme, shop.origin)
    yield shop.start()
    shop.close()


def allow(acme: Actor, *origins: str) -> None:
    Tenant.objects.filter(id=acme.tenant_id).update(allowed_origins=list(origins))


class Guest:
    """Somebody on the site, and what their browser complained of."""

    def __init__(self, page: Page, shop: Shop) -> None:
        self.page = page
        self.shop = shop
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: ConsoleMessage) -> None:
        # Every browser asks for a site's icon, which the example has not.
        if message.type in ("error", "warning") and "favicon" not in str(message.location):
            self.complaints.append(message.text)

    @property
    def button(self) -> object:
        return self.page.get_by_role("button", name="Chat with us")

    @property
    def chat(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    async def come(self, path: str = "/") -> None:
        await self.page.goto(self.shop.origin + path)

    async def open(self) -> None:
        await self.button.click()  # type: ignore[attr-defined]
        await expect(self.chat.locator("#state")).to_have_text("Connected")

    async def say(self, text: str) -> None:
        await self.chat.locator("#text").fill(text)
        await self.page.keyboard.press("Enter")


@pytest_asyncio.fixture(loop_scope="session")
async def guest(browser: Browser, shop: Shop) -> AsyncIterator[Guest]:
    """Whoever has come to the site. That their browser complains of nothing is part of every test."""
    # Third-party cookies are refused, as in a browser that protects its user.
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    guest = Guest(await context.new_page(), shop)
    await guest.come()
    yield guest
    cookies = [cookie for cookie in await context.cookies() if "lexicon" in cookie["name"] or "csrf" in cookie["name"]]
    await context.close()
    assert guest.complaints == []
    assert cookies == []


async def test_a_reply_streams_in_the_frame(guest: Guest, release: Release) -> None:  # noqa: F811
    await guest.open()
    message, name = held()
    await guest.say(message)
    await expect(guest.chat.locator(".assistant.streaming .text")).to_have_text("one two three")
    await in_thread(release, name)
    await expect(guest.chat.locator(".assistant.done .text")).to_have_text("one two three four five six")


async def test_the_chat_is_the_users_own_and_comes_back_with_them(guest: Guest) -> None:
    await guest.open()
    await guest.say("hello")
    await expect(guest.chat.locator(".assistant.done .text")).to_have_text("You said: hello")
    chat = await in_thread(Chat.objects.all_tenants().select_related("user").get)
    assert chat.user.external_id == "alice"
    await guest.page.reload()
    await guest.open()
    await expect(guest.chat.locator(".assistant.done .text")).to_have_text("You said: hello")


async def test_a_server_that_starts_again_is_given_another_token(guest: Guest) -> None:
    asked: list[str] = []
    guest.page.on("request", lambda request: asked.append(request.url))
    await guest.open()
    await in_thread(guest.shop.server.kill)
    await expect(guest.chat.locator("#state")).to_have_text("Reconnecting…")
    await in_thread(guest.shop.server.start)
    await expect(guest.chat.locator("#state")).to_have_text("Connected")
    assert asked.count(guest.shop.origin + "/chat-token") >= 2
    guest.complaints = [
        complaint for complaint in guest.complaints if "ERR_" not in complaint and "50" not in complaint
    ]


async def test_it_is_opened_and_closed_by_keyboard(guest: Guest) -> None:
    await guest.page.keyboard.press("Tab")
    await expect(guest.button).to_be_focused()  # type: ignore[arg-type]
    await expect(guest.button).to_have_attribute("aria-expanded", "false")  # type: ignore[arg-type]
    await guest.page.keyboard.press("Enter")
    await expect(guest.chat.locator("#text")).to_be_focused()
    await expect(guest.page.locator("iframe")).to_have_attribute("title", "Chat with us")
    await guest.page.keyboard.press("Escape")
    await expect(guest.page.locator("iframe")).to_be_hidden()
    await expect(guest.button).to_be_focused()  # type: ignore[arg-type]


async def test_a_reply_that_comes_while_it_is_closed_is_announced(guest: Guest, release: Release) -> None:  # noqa: F811
    await guest.open()
    message, name = held()
    await guest.say(message)
    await expect(guest.chat.locator(".assistant.streaming .text")).to_have_text("one two three")
    await guest.chat.get_by_role("button", name="Close the chat").click()
    await in_thread(release, name)
    await guest.page.get_by_role("button", name="Chat with us: new message").click()
    await expect(guest.chat.locator(".assistant.done .text")).to_have_text("one two three four five six")


async def test_the_site_gets_one_element_and_one_global(guest: Guest) -> None:
    guest.shop.add("bare.html", "<!doctype html><meta charset=utf-8><title>Bare</title><p>A page without it.</p>")
    await guest.come("/bare.html")
    bare = set(await guest.page.evaluate("Object.getOwnPropertyNames(window)"))
    await guest.come()
    before = await guest.page.evaluate("JSON.stringify(document.querySelector('h1').getBoundingClientRect())")
    await guest.open()
    # A frame of a page is one of its window's properties, by number.
    found = set(await guest.page.evaluate("Object.getOwnPropertyNames(window)")) - {"0"}
    assert found - bare == {"LexiconWidget"}
    assert await guest.page.evaluate("Object.keys(LexiconWidget).sort()") == ["close", "getToken", "open"]
    assert await guest.page.evaluate("document.querySelectorAll('body > :not(h1, p, script)').length") == 1
    after = await guest.page.evaluate("JSON.stringify(document.querySelector('h1').getBoundingClientRect())")
    assert after == before


async def test_a_strict_policy_and_hostile_styles_of_the_site_do_not_matter(guest: Guest) -> None:
    here = f"http://127.0.0.1:{guest.shop.server.port}"
    policy = f"default-src 'none'; script-src {here}; frame-src {here}; connect-src 'self'; style-src 'self'"
    guest.shop.add("hostile.css", "div, button, iframe { display: none !important; width: 1px !important }")
    guest.shop.add(
        "strict.html",
        example("html", "<h1>").replace(
            "<title>",
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<link rel="stylesheet" href="hostile.css"><title>',
        ),
    )
    await guest.come("/strict.html")
    await guest.open()
    await guest.say("hello")
    await expect(guest.chat.locator(".assistant.done .text")).to_have_text("You said: hello")
    guest.complaints = [complaint for complaint in guest.complaints if "favicon" not in complaint]


async def test_the_site_may_bring_the_token_itself(guest: Guest) -> None:
    tag = example("html", "<h1>").replace(' data-token-url="/chat-token"', "")
    guest.shop.add("own.html", tag.replace("<script src", example("html", "window.LexiconWidget") + "<script src"))
    await guest.come("/own.html")
    await guest.open()


async def test_a_user_whom_the_site_refuses_is_told_so(guest: Guest) -> None:
    guest.shop.add("lost.html", example("html", "<h1>").replace('"/chat-token"', '"/nowhere"'))
    await guest.come("/lost.html")
    await guest.button.click()  # type: ignore[attr-defined]
    await expect(guest.chat.locator("#state")).to_have_text("Not connected")
    await expect(guest.chat.locator("#problem")).to_contain_text("can not go on")
    guest.complaints = [complaint for complaint in guest.complaints if "404" not in complaint]


async def test_a_site_that_is_not_allowed_can_not_frame_it(guest: Guest, acme: Actor) -> None:
    for origins in ([], [guest.shop.origin.replace("127.0.0.1", "localhost")]):
        await in_thread(allow, acme, *origins)
        await guest.come()
        async with guest.page.expect_console_message(lambda said: "frame-ancestors" in said.text):
            await guest.button.click()  # type: ignore[attr-defined]
        await expect(guest.page.locator("iframe")).to_be_hidden()
    assert all("frame" in complaint for complaint in guest.complaints)
    guest.complaints = []


async def test_what_another_origin_says_is_not_heard(guest: Guest) -> None:
    await guest.open()
    frame = guest.page.frames[1]
    await guest.page.evaluate("() => { LexiconWidget.getToken = () => { window.asked = true } }")
    # Of the right origin or not: what the site's own window says is not the frame's.
    await guest.page.evaluate("window.postMessage({type: 'lexicon:ask'}, '*')")
    await guest.page.evaluate("window.postMessage({type: 'lexicon:close'}, '*')")
    # And what the frame's own window says is not the site's.
    await frame.evaluate("window.postMessage({type: 'lexicon:refused', final: true}, '*')")
    await frame.evaluate("new Promise((done) => setTimeout(done))")
    await guest.page.evaluate("new Promise((done) => setTimeout(done))")
    assert await guest.page.evaluate("window.asked") is None
    await expect(guest.page.locator("iframe")).to_be_visible()
    await guest.say("hello")
    await expect(guest.chat.locator(".assistant.done .text")).to_have_text("You said: hello")


async def test_a_frame_that_was_told_another_origin_asks_nobody(guest: Guest, acme: Actor) -> None:
    address = f"{guest.shop.server.http}/widget/{acme.tenant_id}#http%3A%2F%2Fevil.example"
    guest.shop.add(
        "evil.html",
        "<!doctype html><meta charset=utf-8><title>Evil</title><script>addEventListener('message', (event) => {"
        "window.told = event.data; event.source.postMessage({type: 'lexicon:token', token: 'x'}, '*') })</script>"
        f'<iframe src="{address}"></iframe>',
    )
    # The browser says that the message found nobody of that origin.
    async with guest.page.expect_console_message(lambda said: "target origin" in said.text):
        await guest.come("/evil.html")
    assert await guest.page.evaluate("window.told") is None
    guest.complaints = [complaint for complaint in guest.complaints if "target origin" not in complaint]


async def test_the_examples_own_client_talks(guest: Guest) -> None:
    guest.shop.add("own.js", example("javascript", "document.body"))
    page = '<!doctype html><meta charset=utf-8><title>Own</title><body><script type=module src="own.js"></script>'
    guest.shop.add("own.html", page)
    await guest.come("/own.html")
    await expect(guest.page.locator("p").last).to_have_text("assistant: You said: How long does shipping take?")


def test_the_example_makes_a_token_with_curl(page_server: Server, acme: Actor) -> None:
    program = example("bash", "/tokens").replace("127.0.0.1:8000", f"127.0.0.1:{page_server.port}")
    env = {"CHAT_ID": acme.new_chat(), "TENANT_KEY": acme.tenant_key, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-euc", program], env=env, capture_output=True, text=True, timeout=60)
    assert '"token":"' in done.stdout, done.stderr


def test_the_example_reads_a_stream_in_node(page_server: Server, acme: Actor, tmp_path: Path) -> None:
    node = need("node", shutil.which("node"))
    shutil.copy(ROOT / "clients/js/lexicon-client.js", tmp_path)
    program = example("javascript", "new SSEParser").replace("127.0.0.1:8000", f"127.0.0.1:{page_server.port}")
    (tmp_path / "stream.mjs").write_text(program)
    env = {"CUSTOMER_KEY": acme.customer_key, "PATH": "/usr/bin:/bin"}
    done = subprocess.run([node, tmp_path / "stream.mjs"], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == "You said: How long does shipping take?", done.stderr
