"""What a client that leaves is owed all the same. No server has a hand in it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from chats.models import Reply
from chats.posting import Posted, post_message
from core.db.executor import in_thread
from lexicon.asgi import application
from streaming.engine import engine
from streaming.sse import views
from tests.support.actors import Actor
from tests.support.client import SOON, eventually
from tests.support.servers import Server


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """Whichever."""
    return live_server_uvicorn


def asking(actor: Actor, conversation_id: str) -> ApplicationCommunicator:
    """A client of the application in this very process, about to post a question."""
    headers = {"authorization": f"Bearer {actor.customer_key}", "content-type": "application/json", "host": "inside"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/v1/customer/conversations/{conversation_id}/messages",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    return ApplicationCommunicator(application, scope)


@pytest.mark.usefixtures("inside")
async def test_a_reply_is_written_though_its_client_left_while_the_question_was_stored(
    acme: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, may_go_on = threading.Event(), threading.Event()

    def post_slowly(**given: Any) -> Posted:
        posted = post_message(**given)
        stored.set()
        may_go_on.wait(SOON)
        return posted

    async def look_in_vain() -> None:
        """The reconciler would find the reply a second later."""

    monkeypatch.setattr(views, "post_message", post_slowly)
    monkeypatch.setattr(engine()._reconciler, "reconcile_owned", look_in_vain)
    client = asking(acme, await in_thread(acme.new_conversation))
    await client.send_input({"type": "http.request", "body": b'{"message": "hello"}'})
    assert await asyncio.to_thread(stored.wait, SOON)
    await client.send_input({"type": "http.disconnect"})
    await client.wait(SOON)
    may_go_on.set()

    # It has no model, but an end.
    replies = Reply.objects.for_tenant(acme.tenant_id).exclude(state__in=Reply.OPEN)
    await eventually(lambda: in_thread(replies.exists), seconds=SOON)
