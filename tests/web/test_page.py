"""The page at `/`, in a real browser."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import httpx
import pytest
from playwright.async_api import Browser, expect

from chats.models import Chat, Message
from core.db.executor import in_thread
from tenants.models import Tenant
from tests.support.client import script
from tests.web.conftest import PASSWORD, Visitor

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once

Release = Callable[[str], None]


def held(**more: object) -> tuple[str, str]:
    """A message whose reply stops after three words, and the name that lets it go on."""
    name = f"page-{uuid.uuid4().hex}"
    return script(say="one two three four five six ", tokens=6, hold=name, hold_after=3, **more), name


@pytest.fixture
def release(model_server: str) -> Release:
    address = httpx.URL(model_server)

    def release(name: str) -> None:
        httpx.post(address.copy_with(path=f"/release/{name}"), trust_env=False).raise_for_status()

    return release


async def test_a_reply_streams(visitor: Visitor, release: Release) -> None:
    message, name = held()
    await visitor.say(message)
    reply = visitor.page.locator(".assistant .text")
    await expect(visitor.page.locator(".assistant.streaming .text")).to_have_text("one two three")
    await in_thread(release, name)
    await expect(visitor.page.locator(".assistant.done .text")).to_have_text("one two three four five six")
    assert await reply.count() == 1


async def test_a_reload_in_the_middle_shows_all_of_it(visitor: Visitor, release: Release) -> None:
    message, name = held()
    await visitor.say(message)
    await expect(visitor.page.locator(".assistant.streaming .text")).to_have_text("one two three")
    await visitor.page.reload()
    await expect(visitor.page.locator(".user .text")).to_have_text(message)
    await expect(visitor.page.locator(".assistant.streaming .text")).to_have_text("one two three")
    await in_thread(release, name)
    await expect(visitor.page.locator(".assistant.done .text")).to_have_text("one two three four five six")


async def test_a_reply_can_be_stopped(visitor: Visitor) -> None:
    message, _ = held()
    await visitor.say(message)
    await expect(visitor.page.locator(".assistant.streaming .text")).to_have_text("one two three")
    await visitor.page.click("#stop")
    await expect(visitor.page.locator(".assistant.stopped .text")).to_have_text("one two three")
    await expect(visitor.page.locator("#stop")).to_be_hidden()


async def test_a_reply_outlives_the_server(visitor: Visitor, release: Release) -> None:
    message, name = held()
    await visitor.say(message)
    await expect(visitor.page.locator(".assistant.streaming .text")).to_have_text("one two three")
    await in_thread(visitor.server.kill)
    await expect(visitor.page.locator("#state")).to_have_text("Reconnecting…")
    await visitor.page.fill("#text", "Meanwhile")
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.page.locator(".user.sending .text")).to_have_text("Meanwhile")
    await in_thread(release, name)
    await in_thread(visitor.server.start)
    await visitor.connected()
    texts = visitor.page.locator("#log > li.done > .text")
    await expect(texts).to_have_text([message, "one two three four five six", "Meanwhile", "You said: Meanwhile"])
    # What a browser says of a server that is not there is no fault of the page.
    visitor.complaints = [complaint for complaint in visitor.complaints if "ERR_CONNECTION" not in complaint]


async def test_who_asks_for_a_person_gets_one(visitor: Visitor, browser: Browser) -> None:
    await in_thread(lambda: Tenant.objects.update(model="builtin"))
    await visitor.page.click("#person")
    await expect(visitor.page.locator("#handed")).to_be_visible()
    await expect(visitor.page.locator("#person")).to_be_hidden()
    chat = await in_thread(Chat.objects.all_tenants().get)
    staff = await (await browser.new_context()).new_page()
    await staff.goto(f"{visitor.server.http}/admin/login/?next=/admin/chats/chat/{chat.id}/change/")
    await staff.fill("[name=username]", "ada")
    await staff.fill("[name=password]", PASSWORD)
    await staff.click("[type=submit]")
    await staff.fill("[name=text]", "Here I am.")
    await staff.click("button[value=answer]")
    await expect(visitor.page.locator(".person .text")).to_have_text("Here I am.")
    await expect(visitor.page.locator(".person .who")).to_have_text("Ada Lovelace")
    await expect(visitor.page.locator("#told")).to_have_text("Ada Lovelace: Here I am.")
    # Whoever comes back still sees that a person answers.
    await visitor.page.reload()
    await expect(visitor.page.locator("#handed")).to_be_visible()


async def test_markdown_is_shown_and_what_could_harm_is_not(visitor: Visitor) -> None:
    says = (
        "**bold** [link](https://example.com) [bad](javascript:alert(1)) ![picture](https://example.com/x.png)\n\n"
        "<img src=x onerror=alert(1)> <script>alert(1)</script> <p style='color:red'>styled</p>\n\n- item\n"
    )
    requests: list[str] = []
    visitor.page.on("request", lambda request: requests.append(request.url))
    await visitor.say(script(say=says))
    text = visitor.page.locator(".assistant.done .text")
    await expect(text.locator("strong")).to_have_text("bold")
    await expect(text.locator("li")).to_have_text("item")
    await expect(text.locator("img, script, [style], [onerror]")).to_have_count(0)
    await expect(text).to_contain_text("<script>alert(1)</script>")
    links = await text.locator("a[href]").evaluate_all("all => all.map(a => [a.href, a.rel])")
    assert links == [
        ["https://example.com/", "noopener noreferrer nofollow"],
        ["https://example.com/x.png", "noopener noreferrer nofollow"],
    ]
    assert requests == []


async def test_a_reply_is_rated_and_a_reload_keeps_it(visitor: Visitor) -> None:
    await visitor.say("hello")
    up = visitor.page.get_by_role("button", name="A good answer", exact=True)
    down = visitor.page.get_by_role("button", name="Not a good answer")
    await up.click()
    await expect(up).to_have_attribute("aria-pressed", "true")
    await expect(up).to_be_focused()
    await down.click()
    await expect(down).to_have_attribute("aria-pressed", "true")
    await expect(up).to_have_attribute("aria-pressed", "false")
    await visitor.page.reload()
    await expect(down).to_have_attribute("aria-pressed", "true")
    await down.click()
    await expect(down).to_have_attribute("aria-pressed", "false")


async def test_the_sources_of_a_reply_are_named_and_only_web_addresses_are_links(visitor: Visitor) -> None:
    sources = [
        {"id": "1", "title": "Hours <b>", "url": "https://example.com/hours"},
        {"id": "2", "title": "Harm", "url": "javascript:alert(1)"},
        {"id": "3", "title": "Lamps"},
    ]
    await visitor.say("hello")
    await expect(visitor.page.locator(".assistant.done .text")).to_have_text("You said: hello")

    def save() -> None:
        for message in Message.objects.all_tenants().filter(role="assistant"):
            message.metadata = {**message.metadata, "sources": sources}
            message.save()

    await in_thread(save)
    await visitor.page.reload()
    named = visitor.page.get_by_role("list", name="Sources")
    await expect(named.get_by_role("listitem")).to_have_text(["Hours <b>", "Harm", "Lamps"])
    links = await named.locator("a").evaluate_all("all => all.map(a => [a.href, a.rel, a.target])")
    assert links == [["https://example.com/hours", "noopener noreferrer", "_blank"]]


async def test_a_list_written_from_right_to_left_is_shown_so(visitor: Visitor) -> None:
    await visitor.say(script(say="- أولاً\n- ثانيًا"))
    marked = visitor.page.locator(".assistant.done .text ul")
    assert await marked.evaluate("list => getComputedStyle(list).direction") == "rtl"
    assert await marked.locator("li").first.evaluate("item => getComputedStyle(item).direction") == "rtl"


async def test_a_failed_reply_says_so(visitor: Visitor) -> None:
    await visitor.say(script(fail="http-400"))
    await expect(visitor.page.locator(".assistant.failed .note")).to_contain_text("failed")


async def test_a_new_chat_begins_empty(visitor: Visitor) -> None:
    await visitor.say("hello")
    await expect(visitor.page.locator(".assistant.done .text")).to_have_text("You said: hello")
    await visitor.page.click("#new")
    await expect(visitor.page.locator("#welcome")).to_be_visible()
    await visitor.connected()
    assert await visitor.page.locator("#log > li").count() == 0
    await visitor.say("again")
    await expect(visitor.page.locator(".assistant.done .text")).to_have_text("You said: again")
    assert await in_thread(lambda: Chat.objects.all_tenants().values("user").distinct().count()) == 1
    assert await in_thread(lambda: Message.objects.all_tenants().values("chat").distinct().count()) == 2


async def test_two_visitors_share_nothing(visitor: Visitor, browser: Browser) -> None:
    await visitor.say("a secret")
    await expect(visitor.page.locator(".assistant.done .text")).to_have_text("You said: a secret")
    other = await (await browser.new_context()).new_page()
    await other.goto(visitor.server.http + "/")
    await expect(other.locator("#state")).to_have_text("Connected")
    assert await other.locator("#log > li").count() == 0
