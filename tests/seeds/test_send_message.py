"""The Node client `sendMessage` of "Customer Chat API", run as printed but for its types, returns whole replies.

It runs on uvicorn: the framing of a response is the same code under daphne, whose writes are its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.seeds.programs import driver, printed
from tests.seeds.saying import ASK_LONGEST, HOSTILE, LONGEST
from tests.support.actors import Actor
from tests.support.client import script
from tests.support.servers import Server

Send = Callable[..., list[str]]


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """The process that the tenants of this test talk to."""
    return live_server_uvicorn


@pytest.fixture
def send(acme: Actor, node: Callable[..., Any]) -> Send:
    """Sends messages in a conversation: what `sendMessage` returned for each."""
    program = printed("send_message.js") + driver("send_message.mjs")

    def run(conversation: str, *messages: str, at_once: bool = False) -> list[str]:
        return node(
            program,
            base=f"{acme.base}/api/v1/customer",
            key=acme.customer_key,
            conversation=conversation,
            messages=messages,
            atOnce=at_once,
        )

    return run


def history(acme: Actor, conversation: str) -> list[tuple[str, str]]:
    answer = acme.customer("GET", f"/{conversation}/messages")
    assert answer.status_code == 200, answer.text
    return [(message["role"], message["content"]) for message in answer.json()["messages"]]


def test_it_returns_the_replies_of_the_history(acme: Actor, send: Send) -> None:
    conversation = acme.new_conversation()
    said = send(conversation, "What are your business hours?", "And on Sundays?")
    assert said == ["You said: What are your business hours?", "You said: And on Sundays?"]
    assert history(acme, conversation) == [
        ("user", "What are your business hours?"),
        ("assistant", said[0]),
        ("user", "And on Sundays?"),
        ("assistant", said[1]),
    ]


@pytest.mark.parametrize("text", ["data: [DONE]", "[DONE]", "\n\n", "data: {}\n\ndata: [DONE]\n\n", HOSTILE])
def test_text_that_looks_like_the_stream_itself_is_text(acme: Actor, send: Send, text: str) -> None:
    conversation = acme.new_conversation()
    assert send(conversation, script(say=text, tokens=1)) == [text]
    assert history(acme, conversation)[-1] == ("assistant", text)


def test_the_longest_reply_comes_whole(acme: Actor, send: Send) -> None:
    conversation = acme.new_conversation()
    [said] = send(conversation, ASK_LONGEST)
    assert said == LONGEST
    assert history(acme, conversation)[-1] == ("assistant", LONGEST)


def test_messages_it_sends_at_once_get_each_their_own_reply(acme: Actor, send: Send) -> None:
    conversation = acme.new_conversation()
    messages = [f"This is question number {number}." for number in range(4)]
    assert send(conversation, *messages, at_once=True) == [f"You said: {message}" for message in messages]


def test_a_chat_client_on_the_conversation_sees_what_it_sends_and_gets(acme: Actor, node: Callable[..., Any]) -> None:
    conversation = acme.new_conversation()
    chat_client = printed("chat_client.js", {"localhost:8000": acme.base.removeprefix("http://")}, usage="// Usage")
    [seen] = node(
        chat_client + printed("send_message.js") + driver("chat_client.mjs"),
        scenario="overhear",
        key=acme.tenant_key,
        chat=conversation,
        base=f"{acme.base}/api/v1/customer",
        customerKey=acme.customer_key,
        messages=[["What are your business hours?"]],
    )
    reply = "You said: What are your business hours?"
    assert seen["returned"] == reply
    assert seen["received"] == ["What are your business hours?"]
    assert seen["replies"] == [{"shown": reply, "content": reply}]
