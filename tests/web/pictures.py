"""Makes the pictures of docs/images anew: `python -m tests.web.pictures`, then look at them.

What they show is what `make run` serves, and the worked example of docs/tokens-and-widget.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

import httpx
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.readme.demo import TENANT_KEY, Demo
from tests.support.servers import ROOT
from tests.web.browsing import ARGS, PATIENCE_MS
from tests.web.shop import Shop, example

IMAGES = ROOT / "docs" / "images"
QUESTIONS = ("How do I return an item?", "How long does shipping take?")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        demo = Demo(Path(folder))
        stack.callback(demo.close)
        demo.start()
        tenant_id, key = demo.found(r"(?<=Demo shop, )\S+"), demo.found(TENANT_KEY)
        shop = Shop(Path(folder), demo, tenant_id=tenant_id, key=key)
        stack.callback(shop.close)
        shop.start()
        asyncio.run(take_all(demo, shop))


async def take_all(demo: Demo, shop: Shop) -> None:
    async with async_playwright() as playwright:
        path = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS, timeout=PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        for scheme in ("light", "dark"):
            await take_page(browser, demo, f"page-{scheme}.png", scheme, 960, 780)
        await take_page(browser, demo, "page-phone.png", "light", 390, 760)
        await take_admin(browser, demo, shop)
        await take_widget(browser, shop)
        await browser.close()


async def new_page(browser: Browser, scheme: str, width: int, height: int) -> Page:
    return await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]


async def talk(page: object, *questions: str) -> None:
    """Ask, and read each answer to its end; the page or the frame is given."""
    for question in questions:
        answered = page.locator(".assistant.done")  # type: ignore[attr-defined]
        count = await answered.count()
        await page.locator("#text").fill(question)  # type: ignore[attr-defined]
        await page.locator("#send").click()  # type: ignore[attr-defined]
        await expect(answered).to_have_count(count + 1)


async def take_page(browser: Browser, demo: Demo, name: str, scheme: str, width: int, height: int) -> None:
    page = await new_page(browser, scheme, width, height)
    await page.goto(demo.http)
    await talk(page, *QUESTIONS)
    await page.locator(".thumbs [value=up]").first.click()
    await expect(page.locator("[aria-pressed=true]")).to_have_count(1)
    await page.mouse.move(0, 0)
    await save(page, name)
    await page.close()


async def take_admin(browser: Browser, demo: Demo, shop: Shop) -> None:
    await have_chats(browser, demo)
    page = await new_page(browser, "light", 1400, 800)
    await page.goto(demo.http + "/admin/")
    await page.fill("[name=username]", "admin")
    await page.fill("[name=password]", demo.found(r"(?<=admin / )\S+"))
    await page.click("[type=submit]")
    await page.goto(demo.http + "/admin/tenants/tenant/")
    await page.get_by_role("link", name="Demo shop").first.click()
    await page.fill("[name=allowed_origins]", shop.origin)
    await page.click("[name=_save]")
    await page.goto(demo.http + "/admin/chats/chat/")
    await save(page, "admin-chats.png")
    await page.goto(demo.http + "/admin/chats/chat/?status=waiting")
    await page.locator("#result_list a").first.click()
    await page.fill("[name=text]", "Hello, this is Sam. I am looking up your parcel right now.")
    await page.click("button[value=answer]")
    await save(page, "admin-chat.png")
    await page.close()


async def have_chats(browser: Browser, demo: Demo) -> None:
    """Some that are answered, one rated down, two that wait for a person."""
    for questions in (("Do you ship abroad?",), ("Do you sell zebras?",), ("I want to talk to a human",), QUESTIONS):
        page = await new_page(browser, "light", 900, 600)
        await page.goto(demo.http)
        await talk(page, *questions)
        if "zebras" in questions[0]:
            await page.locator(".thumbs [value=down]").click()
            await expect(page.locator("[aria-pressed=true]")).to_have_count(1)
        if questions is QUESTIONS:
            await page.locator(".thumbs [value=up]").last.click()
            await expect(page.locator("[aria-pressed=true]")).to_have_count(1)
            await page.click("#person")
            await expect(page.locator("#handed")).to_be_visible()
        await page.close()
    # The one of these that waits longest is not the one that is shown.
    key = {"X-API-Key": demo.found(TENANT_KEY)}
    async with httpx.AsyncClient(base_url=demo.http + "/api/v1/chats/", headers=key) as client:
        chats = (await client.get("")).json()["chats"]
        (human,) = (chat for chat in chats if chat["title"] == "I want to talk to a human")
        (await client.patch(human["id"], json={"status": "active"})).raise_for_status()


async def take_widget(browser: Browser, shop: Shop) -> None:
    page = await new_page(browser, "light", 960, 720)
    # The example as it is, but for the type.
    style = "<style>body { margin: 4rem; font: 1.1rem/1.6 system-ui, sans-serif; background: #fffdf8 }</style>"
    shop.add("index.html", example("html", "<h1>").replace("<h1>", style + "<h1>"))
    await page.goto(shop.origin)
    await page.get_by_role("button", name="Chat with us").click()
    frame = page.frame_locator("iframe")
    await expect(frame.locator("#state")).to_have_text("Connected")
    await talk(frame, "How do I return an item?")
    await save(page, "widget.png")
    await page.close()


async def save(page: Page, name: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    await page.screenshot(path=IMAGES / name, animations="disabled")


if __name__ == "__main__":
    main()
