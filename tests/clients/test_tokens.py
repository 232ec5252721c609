"""Talking with a chat token instead of a key, sync and async."""

from __future__ import annotations

import asyncio

import pytest

from chats.models import Chat
from core.db.executor import in_thread
from lexicon_client import AsyncChatSession, AsyncClient, AuthError, ChatSession, Client
from tests.support.actors import Actor
from tests.support.client import SOON
from tests.websocket.conftest import Model

WORDS = "one two three four five six"


def test_a_token_opens_a_session(client: Client, model: Model) -> None:
    chat = client.create_chat("alice")
    token = client.create_token(chat.id).token
    with ChatSession.with_token(str(client._transport.http.base_url), token) as session:
        reply = session.send(model.script(say=WORDS)).read()
        assert reply is not None
        assert reply.content == WORDS
        assert (session.after, session.status) == (2, "active")
    assert [message.user_id for message in client.list_messages(chat.id).items] == ["alice", "alice"]


async def test_a_token_opens_a_session_in_an_event_loop(acme: Actor, async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    token = (await async_client.create_token(chat.id)).token
    async with AsyncChatSession.with_token(acme.base, token) as session, asyncio.timeout(SOON):
        stream = await session.send(model.script(say=WORDS, every_ms=10))
        assert "".join([token async for token in stream]) == WORDS


async def test_what_was_said_before_is_told_first(acme: Actor, async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    async with async_client.session(chat.id, "alice") as session:
        for word in ("first", "second"):
            await (await session.send(model.script(say=word))).read()
    token = (await async_client.create_token(chat.id)).token
    for after, sequences in ((None, [1, 2, 3, 4]), (2, [3, 4])):
        async with AsyncChatSession.with_token(acme.base, token, after=after) as session, asyncio.timeout(SOON):
            events = aiter(session)
            assert [(await anext(events)).data["sequence"] for _ in sequences] == sequences


async def test_each_connection_has_a_fresh_token(acme: Actor, async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice")
    made = []

    async def fresh() -> str:
        made.append((await async_client.create_token(chat.id)).token)
        return made[-1]

    async with AsyncChatSession.with_token(acme.base, fresh) as session, asyncio.timeout(SOON):
        stream = await session.send(model.script(say=WORDS, every_ms=50))
        await stream.acknowledged()
        assert session._socket is not None
        session._socket.transport.abort()
        reply = await stream.read()
    assert reply is not None
    assert reply.content == WORDS
    assert len(made) == 2


def test_a_token_that_has_expired_is_renewed(acme: Actor, client: Client) -> None:
    good = client.create_token(client.create_chat("alice").id).token
    tokens = iter(["not-a-token", good])
    with ChatSession.with_token(acme.base, lambda: next(tokens)) as session:
        assert session.status == "active"


def test_two_bad_tokens_in_a_row_are_enough(acme: Actor) -> None:
    asked = []

    def bad() -> str:
        asked.append("not-a-token")
        return asked[-1]

    with pytest.raises(AuthError) as refused, ChatSession.with_token(acme.base, bad):
        pass
    assert refused.value.status == 4401
    assert len(asked) == 2


async def test_a_bad_token_that_can_not_be_renewed_is_raised_at_once(acme: Actor) -> None:
    session = AsyncChatSession.with_token(acme.base, "not-a-token", attempts=100)
    with pytest.raises(AuthError):
        await asyncio.wait_for(session.__aenter__(), SOON)


async def test_what_is_said_to_a_person_ends_without_a_reply(acme: Actor, async_client: AsyncClient) -> None:
    """A token can not ask how the chat stands; the connection tells."""
    chat = await async_client.create_chat("alice")
    await in_thread(
        lambda: Chat.objects.for_tenant(acme.tenant_id).filter(id=chat.id).update(status=Chat.Status.ESCALATED)
    )
    token = (await async_client.create_token(chat.id)).token
    async with AsyncChatSession.with_token(acme.base, token) as session, asyncio.timeout(SOON):
        assert await (await session.send("Is anybody there?")).read() is None
        assert session.status == "escalated"
