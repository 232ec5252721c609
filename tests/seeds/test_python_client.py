"""The Python `ChatWebSocketClient` of "WebSocket Integration", run as printed, sees all there is to see."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.seeds.programs import SECONDS, printed
from tests.seeds.saying import ASK_LONGEST, LONGEST, check_saw, contents, echo, history, hold
from tests.support.actors import Actor
from tests.support.client import script

#: It holds on both servers.
pytestmark = pytest.mark.daphne

Drive = Callable[..., dict[str, Any]]

NAME = "chat_websocket_client"


@pytest.fixture
def drive(acme: Actor, python: Callable[..., Any]) -> Drive:
    """Runs a scenario of the driver: what each of its clients saw, and what they printed."""
    code = printed(f"{NAME}.py", {"localhost:8000": acme.base.removeprefix("http://")}, usage="# Usage")

    def run(scenario: str, **told: Any) -> dict[str, Any]:
        return python(NAME, code, scenario=scenario, **{"key": acme.tenant_key, "messages": [], **told})

    return run


def test_it_sees_its_messages_and_their_replies(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    [first], [second] = echo("Hello! What can I do?", "I'd be happy to help.\n")
    seen = drive("talk", chat=chat, messages=[[first, {"category": "billing"}], [second]])
    messages = history(acme, chat)
    assert contents(messages, "assistant") == ["Hello! What can I do?", "I'd be happy to help.\n"]
    assert [messages[0]["metadata"], messages[2]["metadata"]] == [{"category": "billing"}, {}]
    check_saw(seen["clients"][0], messages)
    assert "rror" not in seen["printed"]


def test_one_that_connects_while_a_reply_streams_sees_all_of_it(acme: Actor, drive: Drive, model_server: str) -> None:
    chat, held = acme.new_chat(), hold(model_server)
    first, late = drive("join_late", chat=chat, messages=[[held.message]], release=held.release)["clients"]
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
    [seen] = drive("reconnect", chat=chat, messages=[[held.message]], release=held.release)["clients"]
    messages = history(acme, chat)
    assert contents(messages, "assistant") == [held.reply]
    check_saw(seen, messages)


def test_two_in_one_chat_both_see_both_messages_and_both_replies(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    seen = drive("together", chat=chat, messages=echo("This is for Alice.", "This is for Bob."))["clients"]
    messages = history(acme, chat)
    assert sorted(contents(messages, "assistant")) == ["This is for Alice.", "This is for Bob."]
    assert len(seen) == 2
    for each in seen:
        check_saw(each, messages)


def test_it_goes_on_after_the_longest_reply(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    [[after]] = echo("And on it goes.")
    seen = drive("talk", chat=chat, messages=[[ASK_LONGEST], [after]])
    messages = history(acme, chat)
    assert contents(messages, "assistant") == [LONGEST, "And on it goes."]
    check_saw(seen["clients"][0], messages)


def test_the_longest_reply_in_bytes_does_not_close_it(acme: Actor, drive: Drive) -> None:
    chat = acme.new_chat()
    # JSON writes a control character in six bytes; the client closes on a frame over 1 MiB.
    seen = drive("talk", chat=chat, messages=[[script(say="\x01", repeat=100_000, tokens=100)]])
    messages = history(acme, chat)
    assert contents(messages, "assistant") == ["\x01" * 100_000]
    check_saw(seen["clients"][0], messages)


def test_one_that_is_refused_prints_why(acme: Actor, drive: Drive) -> None:
    seen = drive("refused", key="lxt_wrong", chat=acme.new_chat())
    assert seen["printed"].splitlines() == [
        "Connected to chat WebSocket",
        "Error: Invalid API key",
        "Connection closed",
    ]


def test_the_program_with_its_usage_lines_prints_the_reply(acme: Actor, tmp_path: Path) -> None:
    host, chat = acme.base.removeprefix("http://"), acme.new_chat()
    replaced = {"localhost:8000": host, "your-api-key": acme.tenant_key, "chat-uuid": chat}
    path = tmp_path / "program.py"
    path.write_text(printed(f"{NAME}.py", replaced), encoding="utf-8")
    lines = lines_until(path, "AI response complete: ")
    reply = history(acme, chat)[-1]["content"]
    assert reply == "You said: Hello, I need help!"
    # Whether it hears of its message before it says that it sent it is its own affair.
    lines.remove("Sent: Hello, I need help!")
    partial = [line for line in lines if line.startswith("AI: ")]
    assert [line for line in lines if line not in partial] == [
        "Connected to chat WebSocket",
        "Connection established",
        "Message received: Hello, I need help!",
        "AI is responding...",
        f"AI response complete: {reply}",
    ]
    assert partial[-1] == f"AI: {reply}"


def lines_until(program: Path, start: str) -> list[str]:
    """What the program prints up to a line that starts so, but for empty lines; it keeps its connection for ever."""
    running = subprocess.Popen([sys.executable, "-u", program], stdout=subprocess.PIPE, text=True)
    deadline = threading.Timer(SECONDS, running.kill)
    deadline.start()
    lines = []
    try:
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(start):
                break
    finally:
        deadline.cancel()
        running.kill()
        running.communicate()
    return [line for line in lines if line]
