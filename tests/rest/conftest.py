"""What the tests of HTTP share besides the cast.

Every test here runs on uvicorn, and the module that is marked so on daphne, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from core.db import executor
from core.db.thread_pool import ThreadPool
from tests.rest.body_endpoints import Door, doors_of
from tests.support.actors import Actor
from tests.support.client import SOON
from tests.support.servers import Server


@pytest.fixture(params=["uvicorn", pytest.param("daphne", marks=pytest.mark.once)])
def server(request: pytest.FixtureRequest) -> Server:
    """The process that the tenants of this test talk to."""
    return request.getfixturevalue(f"live_server_{request.param}")


@pytest.fixture
def doors(live: Callable[..., Actor]) -> dict[str, Door]:
    """The three places that take a body, of one tenant."""
    return doors_of(live("Acme", model="builtin"))


@pytest.fixture(params=["chat", "conversation", "message"])
def door(request: pytest.FixtureRequest, doors: dict[str, Door]) -> Door:
    """Each of the three."""
    return doors[request.param]


@pytest.fixture
def release(model_server: str) -> Callable[[str], None]:
    """Lets the scripted model go on that was told to `hold` under this name."""

    def let_go(name: str) -> None:
        httpx.post(f"{model_server.removesuffix('/v1')}/release/{name}", verify=False).raise_for_status()

    return let_go


def calls(model_server: str, text: str) -> dict[str, Any]:
    address = f"{model_server.removesuffix('/v1')}/calls"
    return httpx.get(address, params={"contains": text}, verify=False).json()


@pytest.fixture
def asked(model_server: str) -> Callable[[str], int]:
    """How often the scripted model was asked something that contains this."""
    return lambda text: calls(model_server, text)["count"]


@pytest.fixture
def open_calls(model_server: str) -> Callable[[str], int]:
    """How many questions that contain this the scripted model is answering."""
    return lambda text: calls(model_server, text)["open"]


@pytest.fixture
async def inside(acme: Actor, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this very process, where a test can look over its shoulder."""
    from lexicon.asgi import application
    from streaming import engine

    # Threads of its own, whose connections end with the test.
    pool = ThreadPool(4, "inside")
    monkeypatch.setattr(executor, "_pool", pool)
    running = engine.start()
    await running.beats(SOON)
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=application), base_url="http://inside"
        ) as client:
            yield client
    finally:
        await running.stop()
        await asyncio.to_thread(pool.close)
