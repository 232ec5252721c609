"""The way of somebody new, from the README alone: what `make run` starts, in a browser, from beginning to end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.readme.demo import Demo
from tests.web.browsing import PATIENCE_MS

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """The demo, whose agent speaks slowly enough to be interrupted on a busy machine."""
    demo = Demo(tmp_path)
    demo.env["BUILTIN_WORDS_PER_SECOND"] = "4"
    try:
        yield demo.start()
    finally:
        demo.close()


async def test_reply_reload_stop_ask_for_a_person_and_see_their_answer(browser: Browser, demo: Demo) -> None:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto(demo.http)

    # A reply, and a reload in the middle of it.
    await page.get_by_role("button", name="What are your business hours?").click()
    await expect(page.locator(".assistant.streaming .text")).to_contain_text("We")
    await page.reload()
    await expect(page.locator(".assistant .text")).to_contain_text("We")
    await expect(page.locator(".assistant.done .text")).to_contain_text(re.compile("open .*From our article", re.S))
    await expect(page.locator(".assistant.done .sources li")).to_have_count(1)
    assert await page.locator("#log > li").count() == 2

    # Another, stopped.
    await page.fill("#text", "How do I return an item?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".assistant.streaming .text")).to_contain_text("You can")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator(".assistant.stopped .note")).to_have_text("Stopped.")

    # A person is asked for, and answers in the admin.
    await page.get_by_role("button", name="Ask for a person").click()
    await expect(page.locator("#handed")).to_be_visible()
    staff = await (await browser.new_context()).new_page()
    staff.set_default_timeout(PATIENCE_MS)
    await staff.goto(demo.http + "/admin/")
    await staff.fill("[name=username]", "admin")
    await staff.fill("[name=password]", demo.found(r"(?<=admin / )\S+"))
    await staff.click("[type=submit]")
    await staff.get_by_role("link", name="What are your business hours?").click()
    await staff.fill("[name=text]", "Hello, this is a person.")
    await staff.get_by_role("button", name="Send answer").click()
    await expect(page.locator(".person .text")).to_have_text("Hello, this is a person.")
    await context.close()
