"""Guarantee 3: who comes in the middle of a reply gets all of it, and a reply goes on without its client."""

from __future__ import annotations

import pytest

from tests.support.actors import Actor
from tests.support.client import Socket, eventually
from tests.websocket.conftest import Model, history


async def begin(actor: Actor, model: Model, chat_id: str, *, words: int) -> Socket:
    """A socket that has read so many of the ten words of a reply, which is held there."""
    socket = await actor.join(chat_id)
    await socket.send(
        {"content": model.script(say="zero one two three four five six seven eight nine", hold=True, hold_after=words)}
    )
    await socket.until("message_stream_started")
    while socket.folded().count(" ") < words:
        await socket.next()
    return socket


@pytest.mark.parametrize("words", [1, 4, 9])
async def test_who_joins_in_the_middle_gets_a_start_one_token_with_all_of_it_and_the_rest(
    acme: Actor, model: Model, words: int
) -> None:
    chat_id = acme.new_chat()
    async with await begin(acme, model, chat_id, words=words) as asked, await acme.join(chat_id) as joined:
        started, token = await joined.next(), await joined.next()
        assert (started["event_type"], started["resumed"]) == ("message_stream_started", True)
        assert (token["event_type"], token["offset"], token["token"]) == ("message_stream_token", 0, asked.folded())
        assert await joined.quiet() == []
        model.release()
        ended = await joined.until("message_stream_ended")
        assert (await asked.until("message_stream_ended"))["content"] == ended["content"]
    [told] = asked.of_type("message_stream_started")
    assert {name: started[name] for name in ("message_id", "reply_to", "user_id", "chat_id")} == {
        name: told[name] for name in ("message_id", "reply_to", "user_id", "chat_id")
    }
    assert "resumed" not in told
    assert joined.folded() == asked.folded() == ended["content"] == history(acme, chat_id)[1]["content"]


async def test_who_joins_before_the_first_word_gets_a_start_and_no_token(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    async with await begin(acme, model, chat_id, words=0), await acme.join(chat_id) as joined:
        assert [event["event_type"] for event in await joined.quiet()] == ["message_stream_started"]
        assert joined.events[1]["resumed"] is True
        model.release()
        ended = await joined.until("message_stream_ended")
    assert joined.folded() == ended["content"]


async def test_sockets_that_join_all_along_a_reply_fold_the_same(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    sockets = [await acme.join(chat_id)]
    script = model.script(say="Lorem ipsum dolor sit amet. ", repeat=20, every_ms=30, hold=True, hold_after=99)
    await sockets[0].send({"content": script})
    for _ in range(8):
        await sockets[0].until("message_stream_token")
        sockets.append(await acme.join(chat_id))
    model.release()
    for socket in sockets:
        ended = await socket.until("message_stream_ended")
        await socket.close()
        assert socket.folded() == ended["content"] == "Lorem ipsum dolor sit amet. " * 20
        assert len(socket.of_type("message_stream_started")) == 1


async def test_messages_that_waited_when_a_socket_joined_are_answered_on_it(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    async with await begin(acme, model, chat_id, words=2) as asked:
        await asked.send({"content": "waiting"})
        await asked.until("message_received", content="waiting")
        async with await acme.join(chat_id) as joined:
            model.release()
            await joined.until("message_stream_ended", content="You said: waiting")
    assert joined.of_type("message_received") == []
    assert [event["sequence"] for event in joined.of_type("message_stream_ended")] == [3, 4]


async def test_a_reply_goes_on_when_its_client_leaves(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    asked = await begin(acme, model, chat_id, words=2)
    asked.connection.transport.abort()
    model.release()

    async def ended() -> bool:
        return len(history(acme, chat_id)) == 2

    await eventually(ended)
    reply = history(acme, chat_id)[1]
    assert reply["content"] == "zero one two three four five six seven eight nine"
    assert "stopped" not in reply["metadata"]
    assert len(model.calls()) == 1


async def test_a_client_that_comes_back_in_the_middle_misses_nothing_of_the_reply(acme: Actor, model: Model) -> None:
    chat_id = acme.new_chat()
    asked = await begin(acme, model, chat_id, words=2)
    await asked.close()
    async with await acme.join(chat_id) as back:
        await back.until("message_stream_token")
        model.release()
        ended = await back.until("message_stream_ended")
    assert back.folded() == ended["content"]
    assert ended["message_id"] == asked.of_type("message_stream_started")[0]["message_id"]


async def test_nothing_is_replayed_unasked(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.say("Hello")
    async with await acme.join(chat_id) as back:
        assert await back.quiet() == []
        assert (await back.say("Again"))["sequence"] == 4
    assert [event["sequence"] for event in back.events if "sequence" in event] == [3, 4]
