"""The browser `ChatClient` of "WebSocket Integration", run as printed, sees all there is to see.

Its usage lines are replaced by drivers/chat_client.mjs: as printed they send before the socket is open,
which the class itself refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.seeds.programs import driver, printed
from tests.seeds.saying import ASK_LONGEST, LONGEST, check_saw, contents, echo, history, hold
from tests.support.actors import Actor
from tests.support.servers import Server

#: It holds on both servers.
pytestmark = pytest.mark.daphne

Drive = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def drive(acme: Actor, node: Callable[..., Any]) -> Drive:
    """Runs a scenario of the driver: what each of its clients saw."""
    host = acme.base.removeprefix("http://")
    program = printed("chat_client.js", {"localhost:8000": host}, usage="// Usage") + driver("chat_client.mjs")

    def run(scenario: str, **told: Any) -> list[dict[str, Any]]:
        return node(program, scenario=scenario, **{"key": acme.tenant_key, **told})

    return run


def test_it_sees_its_messages_and_their_replies(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    [first], [second] = echo("Hello! What can I do?", "I'd be happy to help.\n")
    metadata = {"category": "billing", "urgency": "high"}
    [seen] = drive("talk", chat=chat, messages=[[first, metadata], [second]])
    messages = history(acme, chat)
    assert [message["content"] for message in messages] == [
        first, "Hello! What can I do?", second, "I'd be happy to help.\n",
    ]  # fmt: skip
    assert [messages[0]["metadata"], messages[2]["metadata"]] == [metadata, {}]
    check_saw(seen, messages)
    assert seen["errors"] == []


def test_messages_it_sends_at_once_are_answered_in_their_order(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    texts = [f"This is answer number {number}." for number in range(5)]
    [seen] = drive("sendAllAtOnce", chat=chat, messages=echo(*texts))
    messages = history(acme, chat)
    assert contents(messages, "assistant") == texts
    check_saw(seen, messages)


def test_one_that_connects_while_a_reply_streams_sees_all_of_it(acme: Actor, drive: Drive, model_server: str) -> None:
    chat, held = acme.new_chat(), hold(model_server)
    first, late = drive("joinLate", chat=chat, messages=[[held.message]], release=held.release)
    messages = history(acme, chat)
    assert contents(messages, "assistant") == [held.reply]
    check_saw(first, messages)
    # It came after the message: nothing is replayed unasked.
    check_saw(late, messages[1:])
    assert late["started"] == 1


def test_one_that_reconnects_in_the_middle_of_a_reply_sees_all_of_it(
    acme: Actor, drive: Drive, model_server: str
) -> None:
    chat, held = acme.new_chat(), hold(model_server)
    [seen] = drive("reconnect", chat=chat, messages=[[held.message]], release=held.release)
    messages = history(acme, chat)
    assert contents(messages, "assistant") == [held.reply]
    check_saw(seen, messages)


def test_two_in_one_chat_both_see_both_messages_and_both_replies(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    seen = drive("together", chat=chat, messages=echo("This is for Alice.", "This is for Bob."))
    messages = history(acme, chat)
    assert sorted(contents(messages, "assistant")) == ["This is for Alice.", "This is for Bob."]
    assert len(seen) == 2
    for each in seen:
        check_saw(each, messages)


def test_the_longest_reply_comes_whole(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    [seen] = drive("talk", chat=chat, messages=[[ASK_LONGEST]])
    messages = history(acme, chat)
    assert contents(messages, "assistant") == [LONGEST]
    check_saw(seen, messages)


@pytest.mark.parametrize(
    ("wrong", "code", "error", "message"),
    [
        ({"key": "lxt_wrong"}, 4401, "AUTH_ERROR", "Invalid API key"),
        ({"user": ""}, 4401, "AUTH_ERROR", "Missing user_id parameter"),
        (
            {"chat": "uuid"},
            4404,
            "CHAT_NOT_FOUND",
            "Chat with chat_id 'uuid' not found or does not belong to your tenant",
        ),
    ],
    ids=["key", "user", "chat"],
)
def test_one_that_is_refused_is_told_why(
    acme: Actor, drive: Drive, server: Server, wrong: dict[str, str], code: int, error: str, message: str
) -> None:
    [seen] = drive("refused", **{"chat": acme.new_chat(), "user": "alice", **wrong})
    assert seen["errors"] == [[error, message]]
    # daphne closes without a reason.
    assert seen["closed"] == [code, error if server.kind == "uvicorn" else ""]
    assert (seen["received"], seen["replies"]) == ([], [])
