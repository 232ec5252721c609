"""Every test here runs on uvicorn; on daphne, too, the modules that are marked so."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore

from core.db.executor import in_thread
from tests.support.actors import Actor
from tests.support.client import Socket, eventually, script
from tests.support.servers import Server

NewTenant = Callable[..., Awaitable[Actor]]


@pytest.fixture(autouse=True)
async def _close_sockets() -> AsyncIterator[None]:
    yield
    await Socket.close_all()


@pytest.fixture(params=["uvicorn", pytest.param("daphne", marks=pytest.mark.once)])
def server(request: pytest.FixtureRequest) -> Server:
    """The process that the tenants of this test talk to."""
    return request.getfixturevalue(f"live_server_{request.param}")


@pytest.fixture
def new_tenant(live: Callable[..., Actor]) -> NewTenant:
    """Makes a tenant inside a test: `await new_tenant(queue_depth=3)`."""

    async def make(**policy: Any) -> Actor:
        return await in_thread(live, "Acme", **{"model": "openai:test", **policy})

    return make


@dataclass(frozen=True)
class Model:
    """The scripted model as a test sees it."""

    url: str
    #: In every script of this test, so that its calls can be told from those of others.
    mark: str

    def script(self, **directives: Any) -> str:
        """A message that tells the model what to do; it is held where `hold` says so, until `release`."""
        if directives.pop("hold", False):
            directives["hold"] = self.mark
        return script(mark=self.mark, **directives)

    def release(self, count: int | None = None) -> None:
        """Let it go on; where it holds after each token (`hold_each`), after so many."""
        name = self.mark if count is None else f"{self.mark}-{count}"
        httpx.post(f"{self.url}/release/{name}", verify=False).raise_for_status()

    def _report(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/calls", params={"contains": self.mark}, verify=False).json()

    def calls(self) -> list[dict[str, Any]]:
        """What it was asked in this test."""
        return self._report()["calls"]

    def turns(self) -> list[list[tuple[str, str]]]:
        """The conversation it was shown in each call: who said what."""
        return [
            [(said["role"], said["content"]) for said in call["messages"] if said["role"] != "system"]
            for call in self.calls()
        ]

    async def left(self) -> None:
        """Wait until nobody listens to it any more."""

        async def nobody() -> bool:
            return self._report()["open"] == 0

        await eventually(nobody)


@pytest.fixture
def model(model_server: str) -> Model:
    return Model(model_server.removesuffix("/v1"), uuid.uuid4().hex)


@dataclass(frozen=True)
class Staff:
    """Somebody of the staff who is logged in to the admin."""

    base: str
    name: str
    session: str

    def act(self, chat_id: str, **form: str) -> None:
        """Send the form of a chat's page: `do` changes its status, `text` is an answer."""
        token = "x" * 32  # Cookie and form say the same: that is all that forgery protection asks for.
        answer = httpx.post(
            f"{self.base}/admin/chats/chat/{chat_id}/change/",
            data={"csrfmiddlewaretoken": token, **form},
            headers={"Cookie": f"lexicon_session={self.session}; csrftoken={token}"},
            timeout=30,
            verify=False,
        )
        assert answer.status_code == 302, answer.text
        assert answer.headers["Location"].startswith("/admin/chats/chat/"), answer.headers["Location"]


@pytest.fixture
def staff(server: Server, live: Callable[..., Actor]) -> Staff:
    name = f"staff-{uuid.uuid4().hex}"
    user = get_user_model().objects.create_superuser(name, password=None, first_name="Bob", last_name="Ross")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return Staff(server.http, "Bob Ross", str(session.session_key))


def history(actor: Actor, chat_id: str) -> list[dict[str, Any]]:
    """All messages of a chat, as REST gives them."""
    rows: list[dict[str, Any]] = []
    while True:
        page = actor.rest("GET", f"/{chat_id}/messages?limit=100&offset={len(rows)}").json()
        rows += page["messages"]
        if not page["has_more"]:
            return rows
