"""The React hook of "WebSocket Integration", run as printed, shows each message once and each reply whole.

React itself is stood for by modules/react: its four hooks, for one component.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.seeds.programs import driver, printed
from tests.seeds.saying import contents, echo, history, hold
from tests.support.actors import Actor

#: It holds on both servers.
pytestmark = pytest.mark.daphne

Drive = Callable[..., dict[str, Any]]


@pytest.fixture
def drive(acme: Actor, node: Callable[..., Any]) -> Drive:
    """Runs a scenario of the driver: what the hook's page shows in the end."""
    host = acme.base.removeprefix("http://")
    program = printed("use_websocket_chat.js", {"localhost:8000": host}) + driver("use_websocket_chat.mjs")

    def run(scenario: str, **told: Any) -> dict[str, Any]:
        return node(program, scenario=scenario, **{"key": acme.tenant_key, **told})

    return run


def check_shows(page: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """The page shows these messages, each once, streamed each reply whole, and waits for nothing."""
    shown = [(message["id"], message["sender"], message["content"]) for message in page["messages"]]
    assert shown == [(message["id"], message["sender_role"], message["content"]) for message in messages]
    assert page["streamed"] == contents(messages, "assistant")
    assert (page["connected"], page["isStreaming"], page["streamingResponse"]) == (True, False, "")
    assert page["error"] is None


def test_it_shows_each_message_once(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    [first], [second] = echo("Hello! What can I do?", "I'd be happy to help.")
    page = drive("talk", chat=chat, messages=[[first, {"category": "billing"}], [second]])
    messages = history(acme, chat)
    assert contents(messages, "assistant") == ["Hello! What can I do?", "I'd be happy to help."]
    assert messages[0]["metadata"] == {"category": "billing"}
    check_shows(page, messages)


def test_one_that_reconnects_in_the_middle_of_a_reply_shows_all_of_it(
    acme: Actor, drive: Drive, model_server: str
) -> None:
    chat, held = acme.new_chat(), hold(model_server)
    page = drive("reconnect", chat=chat, messages=[[held.message]], release=held.release)
    messages = history(acme, chat)
    assert contents(messages, "assistant") == [held.reply]
    check_shows(page, messages)


def test_a_page_that_is_opened_later_shows_what_is_said_from_then_on(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    drive("talk", chat=chat, messages=echo("This was said before."))
    page = drive("talk", chat=chat, messages=echo("This is said now."))
    messages = history(acme, chat)
    assert contents(messages, "assistant") == ["This was said before.", "This is said now."]
    check_shows(page, messages[2:])


def test_one_that_is_refused_shows_why(acme: Actor, drive: Drive) -> None:
    page = drive("refused", key="lxt_wrong", chat=acme.new_chat())
    assert (page["error"], page["connected"], page["messages"]) == ("Invalid API key", False, [])
