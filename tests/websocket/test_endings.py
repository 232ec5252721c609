"""Guarantees 2 and 10: every reply that started ends once, in the history and on every socket, however it went."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model, NewTenant, history

#: How each reply goes, and what it said until its end.
ENDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "done": ({"say": "one two three"}, "one two three"),
    "empty": ({"say": "one two three", "fail": "empty"}, ""),
    "refused by the model": ({"say": "one two three", "fail": "http-500"}, ""),
    "cut off in the middle": ({"say": "one two three", "fail": "close", "after": 2}, "one two "),
    "stopped": ({"say": "one two three", "hold": True, "hold_after": 2}, "one two "),
    "stopped before it said anything": ({"say": "one two three", "hold": True, "hold_after": 0}, ""),
}
#: A reply that says nothing has failed, too.
FAILED = {"empty", "refused by the model", "cut off in the middle"}
STOPPED = {"stopped", "stopped before it said anything"}


async def said(socket: Socket, text: str) -> None:
    """Read until the tokens of the reply are this text."""
    await socket.until("message_stream_started")
    while "".join(event["token"] for event in socket.of_type("message_stream_token")) != text:
        await socket.next()


@pytest.mark.parametrize("ending", ENDINGS)
class TestEnding:
    """One reply with two listeners, and what is left of it."""

    async def end(self, actor: Actor, model: Model, chat_id: str, ending: str) -> list[Socket]:
        """Both listeners, closed after the end of the reply."""
        directives, text = ENDINGS[ending]
        async with await actor.join(chat_id) as asks, await actor.join(chat_id) as listens:
            await asks.send({"content": model.script(**directives)})
            if ending in STOPPED:
                await said(asks, text)
                await asks.send({"action": "stop"})
            for socket in (asks, listens):
                await socket.until("message_stream_ended")
            # It is in the history before its end is told.
            assert [row["sender_role"] for row in history(actor, chat_id)] == ["user", "assistant"]
            for socket in (asks, listens):
                await socket.quiet()
        return [asks, listens]

    async def test_every_listener_gets_one_end(self, acme: Actor, model: Model, ending: str) -> None:
        for socket in await self.end(acme, model, acme.new_chat(), ending):
            [started], [ended] = socket.of_type("message_stream_started"), socket.of_type("message_stream_ended")
            assert started["message_id"] == ended["message_id"]
            assert "".join(event["token"] for event in socket.of_type("message_stream_token")) == ended["content"]
            assert ended["content"] == ENDINGS[ending][1]

    async def test_it_stands_once_in_the_history_as_it_was_told(self, acme: Actor, model: Model, ending: str) -> None:
        chat_id = acme.new_chat()
        socket, _ = await self.end(acme, model, chat_id, ending)
        [ended] = socket.of_type("message_stream_ended")
        question, reply = history(acme, chat_id)
        assert reply["id"] == ended["message_id"]
        assert reply["reply_to"] == ended["reply_to"] == question["id"]
        for name in ("content", "metadata", "sequence", "user_id"):
            assert reply[name] == ended[name]

    async def test_its_marks_say_how_it_went(self, acme: Actor, model: Model, ending: str) -> None:
        socket, _ = await self.end(acme, model, acme.new_chat(), ending)
        [ended] = socket.of_type("message_stream_ended")
        expected = {name: True for name, those in (("failed", FAILED), ("stopped", STOPPED)) if ending in those}
        for marks in (ended, ended["metadata"]):
            assert {name: marks[name] for name in ("failed", "stopped") if name in marks} == expected

    async def test_only_a_failure_is_told_as_an_error_and_before_its_end(
        self, acme: Actor, model: Model, ending: str
    ) -> None:
        for socket in await self.end(acme, model, acme.new_chat(), ending):
            types = [event["event_type"] for event in socket.events]
            errors = [event["error_code"] for event in socket.of_type("error")]
            assert errors == (["AGENT_ERROR"] if ending in FAILED else [])
            if errors:
                assert types[types.index("error") + 1] == "message_stream_ended"

    async def test_the_next_message_is_answered(self, acme: Actor, model: Model, ending: str) -> None:
        chat_id = acme.new_chat()
        await self.end(acme, model, chat_id, ending)
        async with await acme.join(chat_id) as socket:
            assert (await socket.say("Hello"))["content"] == "You said: Hello"


async def test_an_error_of_the_agent_tells_nothing_of_the_model(acme: Actor, model: Model) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        ended = await socket.say(model.script(fail="error-object", say="one two", after=1))
    [error] = socket.of_type("error")
    assert "upstream" not in str(error) + str(ended)
    assert "127.0.0.1" not in str(error) + str(ended)


async def test_a_reply_starts_before_the_model_has_said_anything(acme: Actor, model: Model) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send({"content": model.script(say="one", hold=True, hold_after=0)})
        await socket.until("message_stream_started")
        assert await socket.quiet() == []
        model.release()
        await socket.until("message_stream_ended", content="one")


async def test_a_reply_without_text_is_kept_from_the_model_and_the_customer(acme: Actor, model: Model) -> None:
    conversation = acme.new_conversation()
    silent, question = model.script(fail="empty"), model.script(say="Fine")
    async with await acme.join(conversation) as socket:
        await socket.say(silent)
        await socket.say(question)
    assert model.turns()[1] == [("user", silent), ("user", question)]
    shown = acme.customer("GET", f"/{conversation}/messages").json()["messages"]
    assert [(row["role"], row["content"]) for row in shown] == [
        ("user", silent),
        ("user", question),
        ("assistant", "Fine"),
    ]


# --- Guarantee 10 ---


@pytest.mark.parametrize("say", ["0123456", "🙂漢"])
async def test_a_reply_that_goes_on_is_cut_exactly_where_it_must(new_tenant: NewTenant, model: Model, say: str) -> None:
    acme = await new_tenant(reply_max_characters=500)
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        ended = await socket.say(model.script(say=say, repeat=10, tokens=3, fail="endless"))
    assert ended["content"] == (say * 500)[:500]
    assert ended["metadata"]["finish_reason"] == "length"
    assert "".join(event["token"] for event in socket.of_type("message_stream_token")) == ended["content"]
    assert history(acme, chat_id)[1]["content"] == ended["content"]
    await model.left()


async def test_a_reply_just_as_long_as_it_may_be_is_whole(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(reply_max_characters=500)
    async with await acme.join(acme.new_chat()) as socket:
        ended = await socket.say(model.script(say="x" * 500, tokens=7))
    assert len(ended["content"]) == 500
    assert "finish_reason" not in ended["metadata"]


async def test_by_default_a_reply_has_at_most_100_000_characters(acme: Actor, model: Model) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        ended = await socket.say(model.script(say="0123456789" * 1000, tokens=10, fail="endless"))
    assert len(ended["content"]) == 100_000
    assert "".join(event["token"] for event in socket.of_type("message_stream_token")) == ended["content"]
