"""Each way to open a WebSocket that the documents print, run as printed, leads to a streamed reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.seeds.programs import driver, printed
from tests.seeds.saying import history
from tests.support.actors import Actor

#: It holds on both servers.
pytestmark = pytest.mark.daphne

QUESTION = "Hello, I need help with my account"


@pytest.mark.parametrize(
    ("name", "key", "chat_id"),
    [
        ("quick_start_connect.js", "your-tenant-api-key", "your-chat-id"),
        ("connect_by_query.js", "your-key", "uuid"),
        ("connect_by_headers.js", "your-key", "uuid"),
    ],
    ids=["quick start", "query", "headers"],
)
def test_the_way_it_is_printed_leads_to_a_streamed_reply(
    acme: Actor, node: Callable[..., Any], name: str, key: str, chat_id: str
) -> None:
    chat = acme.new_chat("someone else")
    host = acme.base.removeprefix("http://")
    connect = printed(name, {"localhost:8000": host, key: acme.tenant_key, chat_id: chat})
    listen = driver("connect.mjs").replace("/* SEND */", printed("quick_start_send.js"))
    events = node(connect + listen)

    question, reply = history(acme, chat)
    assert (question["content"], question["user_id"]) == (QUESTION, "user123")
    said = [event for event in events if event["event_type"] == "message_stream_token"]
    others = [event for event in events if event not in said]
    assert [event["event_type"] for event in others] == [
        "connection_established", "user_created", "message_received", "message_stream_started", "message_stream_ended",
    ]  # fmt: skip
    assert "".join(event["token"] for event in said) == reply["content"] == f"You said: {QUESTION}"
