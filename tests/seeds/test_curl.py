"""The curl commands of both documents, run as printed by a shell, do what the documents say.

They run on uvicorn: REST answers do not depend on the server.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest

from tests.seeds.programs import printed
from tests.support.actors import Actor
from tests.support.client import read_sse
from tests.support.servers import Server

Run = Callable[..., str]


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """The process that the tenants of this test talk to."""
    return live_server_uvicorn


@pytest.fixture
def curl(acme: Actor, shell: Run) -> Run:
    """Runs a printed command of the customer API: what it prints."""

    def run(name: str, **replaced: str) -> str:
        command = printed(name, {"https://lexey.ai": acme.base, **replaced})
        return shell(command, LEXEY_CUSTOMER_KEY=acme.customer_key)

    return run


def test_the_quick_start_creates_a_chat(acme: Actor, shell: Run) -> None:
    replaced = {"http://localhost:8000": acme.base, "your-tenant-api-key": acme.tenant_key}
    chat = json.loads(shell(printed("create_chat.sh", replaced)))
    assert (chat["user_id"], chat["tenant_id"]) == ("user123", str(acme.tenant_id))
    assert acme.rest("GET", f"/{chat['id']}").json() == chat


def test_the_customer_quick_start_creates_a_conversation(acme: Actor, curl: Run) -> None:
    answer = json.loads(curl("create_conversation.sh"))
    assert list(answer) == ["conversationId"]
    assert str(uuid.UUID(answer["conversationId"])) == answer["conversationId"]
    history = acme.customer("GET", f"/{answer['conversationId']}/messages")
    assert (history.status_code, history.json()["messages"]) == (200, [])


def test_the_customer_quick_start_streams_a_reply_that_is_then_in_the_history(acme: Actor, curl: Run) -> None:
    conversation = acme.new_conversation()
    told = curl("send_message.sh", CONVERSATION_ID=conversation)
    events = [data for _, data in read_sse(told.encode())]
    assert events, told
    assert events.pop() == "[DONE]"
    assert {event["type"] for event in events} == {"delta"}
    messages = json.loads(curl("history.sh", CONVERSATION_ID=conversation))["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "What are your business hours?"),
        ("assistant", "".join(event["text"] for event in events)),
    ]
    assert messages[1]["content"] == "You said: What are your business hours?"
