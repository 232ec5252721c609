"""Chats, histories and tokens, sync and async."""

from __future__ import annotations

import pytest

from lexicon_client import AsyncClient, ChatInUse, ChatNotFound, Client, InvalidRequest, UserNotFound
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model


def test_a_chat_is_made_found_changed_and_deleted(client: Client, acme: Actor) -> None:
    chat = client.create_chat("alice", title="Shoes", metadata={"order": 7})
    assert (chat.user_id, chat.title, chat.metadata, chat.status) == ("alice", "Shoes", {"order": 7}, "active")
    assert chat.tenant_id == str(acme.tenant_id)
    assert chat.created_at.tzinfo is not None
    assert client.get_chat(chat.id) == chat
    changed = client.update_chat(chat.id, title="Boots", status="closed")
    assert (changed.title, changed.status, changed.metadata) == ("Boots", "closed", {"order": 7})
    client.delete_chat(chat.id)
    with pytest.raises(ChatNotFound):
        client.get_chat(chat.id)


def test_chats_are_listed_of_a_user_and_of_the_tenant(client: Client) -> None:
    alices = [client.create_chat("alice/1 ü").id for _ in range(3)]
    bobs = client.create_chat("bob").id
    page = client.list_chats("alice/1 ü", limit=2, order="asc")
    assert ([chat.id for chat in page.items], page.total, page.has_more) == (alices[:2], 3, True)
    assert [chat.id for chat in client.list_chats(order="asc").items] == [*alices, bobs]
    with pytest.raises(UserNotFound):
        client.list_chats("nobody")


def test_the_same_idempotency_key_makes_one_chat(client: Client) -> None:
    first, again = (client.create_chat("alice", idempotency_key="once") for _ in range(2))
    assert first.id == again.id
    assert client.create_chat("alice").id != client.create_chat("alice").id


def test_all_messages_are_iterated_over_pages(client: Client, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexicon_client.client._MOST", 2)
    chat = client.create_chat("alice")
    with client.session(chat.id, "alice") as session:
        for number in range(3):
            session.send(model.script(say=f"reply {number}")).read()
    messages = list(client.iter_messages(chat.id))
    assert [message.sequence for message in messages] == [1, 2, 3, 4, 5, 6]
    assert [message.content for message in messages[1::2]] == ["reply 0", "reply 1", "reply 2"]
    assert [message.reply_to for message in messages[1::2]] == [message.id for message in messages[::2]]
    assert [message.sequence for message in client.iter_messages(chat.id, after=4)] == [5, 6]


async def test_a_token_opens_the_chat_and_keeps_to_itself(client: Client, acme: Actor) -> None:
    chat = client.create_chat("alice")
    token = client.create_token(chat.id, user_id="bob", ttl_seconds=60)
    assert token.token not in repr(token)
    async with await Socket.open(acme.ws, token=token.token) as socket:
        assert (await socket.until("connection_established"))["user_id"] == "bob"


def test_a_chat_in_use_is_deleted_by_force_only(client: Client) -> None:
    chat = client.create_chat("alice")
    with client.session(chat.id, "alice"):
        with pytest.raises(ChatInUse) as refused:
            client.delete_chat(chat.id)
        client.delete_chat(chat.id, force=True)
    assert (refused.value.status, refused.value.code) == (409, "CHAT_IN_USE")
    assert "force" in refused.value.fix


async def test_it_is_the_same_in_an_event_loop(async_client: AsyncClient, model: Model) -> None:
    chat = await async_client.create_chat("alice", title="Shoes")
    assert await async_client.get_chat(chat.id) == chat
    assert (await async_client.update_chat(chat.id, metadata={"a": 1})).metadata == {"a": 1}
    assert [found.id for found in (await async_client.list_chats("alice")).items] == [chat.id]
    async with async_client.session(chat.id, "alice") as session:
        await (await session.send(model.script(say="hello"))).read()
    assert [message.content async for message in async_client.iter_messages(chat.id)][1] == "hello"
    assert (await async_client.list_messages(chat.id, order="desc", limit=1)).items[0].content == "hello"
    assert (await async_client.create_token(chat.id)).token
    await async_client.delete_chat(chat.id, force=True)
    with pytest.raises(ChatNotFound):
        await async_client.get_chat(chat.id)


def test_a_refusal_names_the_fields(client: Client) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.create_chat("")
    assert "user_id" in refused.value.fields
    assert refused.value.request_id
