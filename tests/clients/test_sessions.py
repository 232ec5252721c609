"""Talking over the WebSocket, sync and async."""

from __future__ import annotations

import asyncio
import json

import pytest

from chats.models import Chat
from core.db.executor import in_thread
from lexicon_client import AsyncClient, ChatDeleted, Client, RateLimitExceeded, ServiceUnavailable, Unreachable
from lexicon_client.session import Session
from lexicon_client.text import Token
from tests.resume.test_replay import tell
from tests.support.actors import Actor
from tests.support.client import SOON
from tests.websocket.conftest import Model

WORDS = "one two three four five six"


def test_a_reply_is_streamed_and_then_whole(client: Client, model: Model) -> None:
    chat = client.create_chat("alice")
    with client.session(chat.id, "alice") as session:
        stream = session.send(model.script(say=WORDS, every_ms=30), metadata={"page": "/"})
        tokens = list(stream)
    assert len(tokens) > 1
    assert "".join(tokens) == stream.text == WORDS
    assert stream.reply is not None
    question, answer = client.list_messages(chat.id).items
    assert (stream.reply.message_id, stream.reply.content) == (answer.id, WORDS)
    assert (stream.message_id, question.metadata) == (question.id, {"page": "/"})
    assert session.after == stream.reply.sequence == 2


async def test_a_reply_is_streamed_in_an_event_loop(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    async with async_client.session(chat.id, "alice") as session:
        stream = await session.send(model.script(say=WORDS, every_ms=30))
        assert await stream.acknowledged() == stream.message_id
        tokens = [token async for token in stream]
    assert len(tokens) > 1
    assert "".join(tokens) == stream.text == WORDS
    assert stream.reply is not None
    assert stream.reply.metadata["model"]


async def test_replies_read_at_once_do_not_mix(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    async with async_client.session(chat.id, "alice") as session:
        streams = [await session.send(model.script(say=f"{number} {WORDS}", every_ms=10)) for number in range(4)]
        replies = await asyncio.gather(*(stream.read() for stream in streams))
    assert [reply.content for reply in replies if reply] == [f"{number} {WORDS}" for number in range(4)]


def test_a_reply_is_stopped(client: Client, model: Model) -> None:
    chat = client.create_chat("alice")
    with client.session(chat.id, "alice") as session:
        stream = session.send(model.script(say=WORDS, hold=True, hold_after=2))
        tokens = iter(stream)
        assert "one" in next(tokens)
        stream.stop()
        list(tokens)
    assert stream.reply is not None
    assert stream.reply.stopped
    assert stream.reply.content == stream.text != WORDS


async def test_a_reply_that_waits_its_turn_is_stopped_when_it_comes(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    async with async_client.session(chat.id, "alice") as session:
        first = await session.send(model.script(say=WORDS, hold=True))
        second = await session.send(model.script(say=WORDS, hold=True, hold_after=3))
        await second.acknowledged()
        await second.stop()
        await session.stop()
        async with asyncio.timeout(SOON):
            replies = [await first.read(), await second.read()]
    assert [reply.stopped for reply in replies if reply] == [True, True]


def test_a_reply_is_rated_in_a_session_and_by_a_backend(client: Client, model: Model) -> None:
    chat = client.create_chat("alice")
    with client.session(chat.id, "alice") as session:
        reply = session.send(model.script(say="hello")).read()
        assert reply is not None
        session.rate(reply.message_id, "down")
        told = next(iter(session))
    assert (told.type, told.data["rating"]) == ("message_rated", "down")
    assert client.list_messages(chat.id).items[1].metadata["rating"] == "down"
    assert client.rate_message(chat.id, reply.message_id, "up").metadata["rating"] == "up"


async def test_a_rating_is_taken_back_in_an_event_loop(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    async with async_client.session(chat.id, "alice") as session, asyncio.timeout(SOON):
        reply = await (await session.send(model.script(say="hello"))).read()
        assert reply is not None
        assert (await async_client.rate_message(chat.id, reply.message_id, "up")).metadata["rating"] == "up"
        await session.rate(reply.message_id, None)
        assert (await anext(aiter(session))).data["rating"] is None
    assert "rating" not in (await async_client.list_messages(chat.id)).items[1].metadata


async def test_what_others_say_comes_as_events(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    async with (
        async_client.session(chat.id, "alice") as alice,
        async_client.session(chat.id, "bob") as bob,
        asyncio.timeout(SOON),
    ):
        await (await alice.send(model.script(say="hello"))).read()
        events = aiter(bob)
        told = [await anext(events), await anext(events)]
    assert [event.type for event in told] == ["message_received", "message_stream_ended"]
    assert (told[0].data["user_id"], told[1].data["content"]) == ("alice", "hello")


async def test_a_session_goes_on_from_where_another_was(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    async with async_client.session(chat.id, "alice") as session:
        await (await session.send(model.script(say="first"))).read()
        left_at = session.after
        await (await session.send(model.script(say="second"))).read()
    async with async_client.session(chat.id, "alice", after=left_at) as session, asyncio.timeout(SOON):
        events = aiter(session)
        told = [(await anext(events)).data for _ in range(2)]
    assert [event["sequence"] for event in told] == [3, 4]


async def test_what_is_said_to_a_person_ends_without_a_reply(acme: Actor, async_client: AsyncClient) -> None:
    chat = await async_client.create_chat("alice")
    await in_thread(
        lambda: Chat.objects.for_tenant(acme.tenant_id).filter(id=chat.id).update(status=Chat.Status.ESCALATED)
    )
    async with async_client.session(chat.id, "alice") as session, asyncio.timeout(SOON):
        stream = await session.send("Is anybody there?")
        assert await stream.read() is None
    assert stream.escalated
    assert stream.message_id


def test_a_deleted_chat_ends_its_sessions(client: Client) -> None:
    chat = client.create_chat("alice")
    with client.session(chat.id, "alice") as session:
        client.delete_chat(chat.id, force=True)
        with pytest.raises(ChatDeleted) as ended:
            next(iter(session))
    assert ended.value.status == 4410


def test_a_closed_session_says_so(client: Client) -> None:
    with client.session(client.create_chat("alice").id, "alice") as session:
        pass
    with pytest.raises(Unreachable, match="closed"):
        session.send("hello").read()


async def test_a_cut_after_every_token_loses_and_doubles_nothing(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    text = " ".join(f"word{number}" for number in range(40))
    tokens: list[Token] = []
    async with async_client.session(chat.id, "alice") as session, asyncio.timeout(60):
        stream = await session.send(model.script(say=text, every_ms=50))
        cuts = 0
        async for token in stream:
            tokens.append(token)
            if session._socket is not None:
                session._socket.transport.abort()
                cuts += 1
    assert cuts >= 3
    assert "".join(tokens) == text
    assert not any(token.restart for token in tokens)


async def test_a_message_that_was_not_acknowledged_is_sent_again(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    async with async_client.session(chat.id, "alice") as session, asyncio.timeout(SOON):
        assert session._socket is not None
        session._socket.transport.abort()
        reply = await (await session.send(model.script(say="hello"))).read()
        assert reply is not None
        assert reply.content == "hello"
    assert len(model.calls()) == 1
    assert [message.sequence async for message in async_client.iter_messages(chat.id)] == [1, 2]


async def test_who_missed_more_than_one_replay_tells_is_told_all(acme: Actor, async_client: AsyncClient) -> None:
    chat = await async_client.create_chat("alice")
    await in_thread(tell, acme, chat.id, 1100)
    async with async_client.session(chat.id, "alice", after=0) as session, asyncio.timeout(60):
        events = aiter(session)
        told = [(await anext(events)).data["sequence"] for _ in range(1100)]
    assert told == list(range(1, 1101))


def test_a_session_that_is_told_how_long_to_wait_does_not_come_back_before() -> None:
    session = Session("chat", "alice", 0, attempts=3)
    details = {"fix": "Wait.", "retry_after": 30}
    refusal = {"event_type": "error", "error_code": "RATE_LIMIT_EXCEEDED", "error_message": "Too many"}
    session.receive(json.dumps(refusal | {"details": details}))
    with pytest.raises(RateLimitExceeded) as raised:  # It never was let in: whether to wait is the caller's to say.
        session.lost(4429, OSError())
    assert raised.value.retry_after == 30
    admitted = Session("chat", "alice", 0, attempts=3)
    admitted.established = True
    admitted.receive(json.dumps(refusal | {"details": details}))
    assert 30 <= admitted.lost(4429, OSError()) <= 31


UNAVAILABLE = {
    "event_type": "error",
    "error_code": "SERVICE_UNAVAILABLE",
    "error_message": "For a moment",
    "details": {"fix": "Wait.", "client_message_id": "one", "retry_after": 0},
}


def test_a_message_that_is_refused_for_a_moment_is_sent_again_until_there_were_enough_attempts() -> None:
    session = Session("chat", "alice", 0, attempts=2)
    said = session.say("Hello", None, "one")
    for _ in range(2):
        session.receive(json.dumps(UNAVAILABLE))
        assert session.patience() == 0
        session.repeat()
        assert session.outbox.popleft() == said.frame
        assert session.patience() is None
    session.receive(json.dumps(UNAVAILABLE))
    assert isinstance(said.error, ServiceUnavailable)


def test_a_message_that_a_server_refuses_because_it_stops_is_sent_once_on_the_next_connection() -> None:
    session = Session("chat", "alice", 0, attempts=2)
    said = session.say("Hello", None, "one")
    session.receive(json.dumps(UNAVAILABLE))
    session.lost(1012, OSError())
    session.connecting_with("token")
    session.receive(json.dumps({"event_type": "replay_ended", "complete": True}))
    session.repeat()
    assert list(session.outbox) == [said.frame]
