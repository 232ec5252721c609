"""A browser on the page at `/`, served on a database of the test's own.

Starting a browser takes longer than most of these tests, so they share one, and with it one event loop. Each has a
context of its own: cookies, storage and pages that nobody else sees.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.faults.conftest import on_own_database  # noqa: F401
from tests.support.actors import Actor, new_actor
from tests.support.servers import Server, free_port
from tests.web.browsing import ARGS, PATIENCE_MS
from tests.web.tools import need

PASSWORD = "correct horse battery staple"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is done in the browser in the browser's event loop."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = need("chromium", shutil.which("chromium"))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS, timeout=PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        await browser.close()


@pytest.fixture
def acme(on_own_database: None) -> Actor:  # noqa: F811
    """Whose page it is. Its model is scripted by what the visitor says."""
    return new_actor("Acme", model="openai:test")


@pytest.fixture
def page_server(own_database: str, acme: Actor, model_server: str, tmp_path: Path) -> Iterator[Server]:
    """A server whose page chats with Acme."""
    ada = User.objects.create_superuser("ada", first_name="Ada", last_name="Lovelace")
    # The tests hash fast, in a way the server does not know.
    ada.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt")
    ada.save()
    server = Server(
        database_url=own_database,
        log=tmp_path / "server.log",
        port=free_port(),
        LEASE_SECONDS="2",
        OPENAI_BASE_URL=model_server,
        OPENAI_API_KEY="key-of-the-tests",
        CHAT_PAGE_TENANT=str(acme.tenant_id),
    )
    acme.base = server.http
    yield server.start()
    server.close()


@dataclass
class Visitor:
    """Somebody on the page, and what their browser complained of."""

    context: BrowserContext
    page: Page
    server: Server
    complaints: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def come(self) -> None:
        await self.page.goto(self.server.http + "/")
        await self.connected()

    async def connected(self) -> None:
        await expect(self.page.locator("#state")).to_have_text("Connected")

    async def say(self, text: str) -> None:
        await self.page.fill("#text", text)
        await self.page.keyboard.press("Enter")


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, page_server: Server) -> AsyncIterator[Visitor]:
    """Whoever has come to the page. That their browser complains of nothing is part of every test."""
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    visitor = Visitor(context, page, page_server)
    page.on("console", visitor.heard)
    page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    await visitor.come()
    yield visitor
    await context.close()
    assert visitor.complaints == []
