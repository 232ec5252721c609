"""A deleted chat is gone for good: from every table, with whatever was going on in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from chats.models import Checkpoint
from core.db.executor import in_thread
from tenants.models import Account, CreditEntry
from tests.rest.wire import TIMESTAMP, assert_refused, held, posted, rows_holding, said_by
from tests.support.actors import Actor
from tests.support.client import eventually, script
from tests.support.servers import Server


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """One server: what is deleted is decided behind it."""
    return live_server_uvicorn


async def delete(actor: Actor, path: str) -> httpx.Response:
    return await asyncio.to_thread(actor.rest, "DELETE", path)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_deleted_chat_is_not_found_any_more(acme: Actor, slash: str) -> None:
    chat_id = acme.new_chat("alice")
    answer = acme.rest("DELETE", f"/{chat_id}{slash}")
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["success", "message", "deleted_at"]
    assert body["success"] is True
    assert chat_id in body["message"]
    assert TIMESTAMP.fullmatch(body["deleted_at"])
    for method, path in (("GET", f"/{chat_id}"), ("GET", f"/{chat_id}/messages"), ("DELETE", f"/{chat_id}")):
        assert_refused(acme.rest(method, path), 404, "CHAT_NOT_FOUND")
    assert_refused(acme.rest("GET", "/user/alice"), 404, "USER_NOT_FOUND")


def test_a_conversation_is_deleted_by_the_same_address(acme: Actor) -> None:
    conversation_id = acme.new_conversation()
    assert acme.rest("DELETE", f"/{conversation_id}").status_code == 200
    assert_refused(acme.customer("GET", f"/{conversation_id}/messages"), 404, "CHAT_NOT_FOUND", face="customer")


async def test_no_row_of_a_deleted_chat_is_left(live: Callable[..., Actor]) -> None:
    acme = await in_thread(live, "Acme", model="builtin")
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.say("hello")
        await socket.say("hello again")
        held_by = await in_thread(rows_holding, chat_id)
    assert sorted(held_by) == ["chats_chat", "chats_connection", "chats_message", "chats_reply"]
    answer = await delete(acme, f"/{chat_id}?force=true")
    assert answer.status_code == 200
    assert await in_thread(rows_holding, chat_id) == []


def test_other_chats_of_the_user_stay(acme: Actor) -> None:
    gone, kept = acme.new_chat("alice"), acme.new_chat("alice")
    acme.rest("DELETE", f"/{gone}")
    assert [chat["id"] for chat in acme.rest("GET", "/user/alice").json()["chats"]] == [kept]


@pytest.mark.parametrize("force", ["yes", "", "2", "null"])
def test_an_unclear_force_is_refused_and_nothing_is_deleted(acme: Actor, force: str) -> None:
    chat_id = acme.new_chat()
    refusal = assert_refused(acme.rest("DELETE", f"/{chat_id}?force={force}"), 400, "INVALID_REQUEST")
    assert list(refusal["details"]["fields"]) == ["force"]
    assert acme.rest("GET", f"/{chat_id}").status_code == 200


# --- While somebody is connected ---


@pytest.mark.parametrize("query", ["", "?force=false"])
async def test_a_chat_with_an_open_socket_is_in_use(acme: Actor, query: str) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        assert_refused(await delete(acme, f"/{chat_id}{query}"), 409, "CHAT_IN_USE")
        assert (await asyncio.to_thread(acme.rest, "GET", f"/{chat_id}")).status_code == 200
        assert await socket.quiet() == []


async def test_force_deletes_it_all_the_same_and_closes_every_socket(acme: Actor) -> None:
    chat_id, other_id = acme.new_chat(), acme.new_chat()
    sockets = [await acme.join(chat_id, user) for user in ("alice", "bob")]
    async with await acme.join(other_id) as other:
        assert (await delete(acme, f"/{chat_id}?force=true")).status_code == 200
        for socket in sockets:
            assert await socket.closed() == (4410, "CHAT_DELETED")
            assert socket.events[-1]["error_code"] == "CHAT_DELETED"
        assert await other.quiet() == []
    assert await in_thread(rows_holding, chat_id) == []


async def test_once_the_socket_is_closed_the_chat_can_be_deleted(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id):
        pass

    async def deleted() -> bool:
        # The row of a closed socket goes a moment later.
        answer = await delete(acme, f"/{chat_id}")
        assert answer.status_code in (200, 409)
        return answer.status_code == 200

    await eventually(deleted)


async def test_a_socket_on_another_chat_does_not_keep_it(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(acme.new_chat()):
        assert (await delete(acme, f"/{chat_id}")).status_code == 200


# --- While a reply is written ---


@pytest.fixture
def metered(live: Callable[..., Actor]) -> Actor:
    return live("Acme", model="openai:test", credits=10_000)


def account_of(actor: Actor) -> tuple[int | None, int, int]:
    """Balance, reserved, and the sum of the ledger."""
    account = Account.objects.get(tenant=actor.tenant)
    entries = CreditEntry.objects.for_tenant(actor.tenant_id).values_list("amount", flat=True)
    return account.balance, account.reserved, sum(entries)


async def test_a_reply_being_streamed_does_not_keep_a_chat(metered: Actor) -> None:
    conversation_id = metered.new_conversation(customerIdentifier="alice")
    async with posted(metered, conversation_id, held("one two", conversation_id)) as stream:
        await stream.until_said("one ")
        answer = await delete(metered, f"/{conversation_id}")
        assert answer.status_code == 200
        # Nothing is left once it is answered, not a moment later.
        assert await in_thread(rows_holding, conversation_id) == []
        *events, error, done = await stream.finish()
    assert done == "[DONE]"
    assert list(error) == ["type", "message"]
    assert error["type"] == "error"
    assert said_by(events) == "one "


async def cost_of(actor: Actor, said: int) -> int:
    """What a reply costs that is deleted with its chat when it has said so many words of four characters."""
    before, _, _ = await in_thread(account_of, actor)
    conversation_id = actor.new_conversation()
    question = script(say="abc ", repeat=999, hold=conversation_id, hold_after=said)
    async with posted(actor, conversation_id, question) as stream:
        await stream.until_said("abc " * said)
        await delete(actor, f"/{conversation_id}")
        assert said_by(await stream.finish()) == "abc " * said
    after, reserved, ledger = await in_thread(account_of, actor)
    assert (reserved, ledger) == (0, after)
    assert before is not None
    assert after is not None
    return before - after


async def test_a_reply_that_is_deleted_is_charged_for_what_was_said(metered: Actor) -> None:
    # A model that was cut short reported no usage; then a token is four characters.
    assert await cost_of(metered, 500) - await cost_of(metered, 100) == 400


async def test_checkpoints_of_a_long_reply_go_with_it(metered: Actor) -> None:
    conversation_id = metered.new_conversation(customerIdentifier="alice")
    async with posted(metered, conversation_id, held("one two", conversation_id)) as stream:
        await stream.until_said("one ")
        reply_id = stream.headers["x-stream-id"].partition(":")[0]
        kept = Checkpoint.objects.filter(reply_id=reply_id)
        await eventually(lambda: in_thread(kept.exists))
        assert (await delete(metered, f"/{conversation_id}")).status_code == 200
        assert not await in_thread(kept.exists)
        assert await in_thread(rows_holding, conversation_id) == []
        await stream.finish()


async def test_the_model_is_let_go(metered: Actor, open_calls: Callable[[str], int]) -> None:
    conversation_id = metered.new_conversation(customerIdentifier="alice")
    async with posted(metered, conversation_id, held("one two", conversation_id)) as stream:
        await stream.until_said("one ")
        assert await asyncio.to_thread(open_calls, conversation_id) == 1
        await delete(metered, f"/{conversation_id}")
        await stream.finish()

    async def let_go() -> bool:
        return await asyncio.to_thread(open_calls, conversation_id) == 0

    await eventually(let_go)


async def test_replies_that_wait_go_with_the_chat_and_cost_nothing(metered: Actor) -> None:
    conversation_id = metered.new_conversation(customerIdentifier="alice")
    async with (
        posted(metered, conversation_id, held("one two", conversation_id)) as running,
        posted(metered, conversation_id, "second") as second,
        posted(metered, conversation_id, "third") as third,
    ):
        await running.until_said("one ")
        assert (await delete(metered, f"/{conversation_id}")).status_code == 200
        assert await in_thread(rows_holding, conversation_id) == []
        for stream in (running, second, third):
            events = await stream.finish()
            assert [event if event == "[DONE]" else event["type"] for event in events[-2:]] == ["error", "[DONE]"]
        assert len(second.writes) == len(third.writes) == 2
    balance, reserved, ledger = await in_thread(account_of, metered)
    assert (reserved, balance) == (0, ledger)
    charged = CreditEntry.objects.for_tenant(metered.tenant_id).filter(amount__lt=0)
    assert await in_thread(charged.count) == 1


async def test_force_stops_the_reply_a_socket_is_watching(metered: Actor) -> None:
    chat_id = metered.new_chat()
    async with await metered.join(chat_id) as socket:
        await socket.send({"content": held("one two", chat_id)})
        await socket.until("message_stream_token")
        assert (await delete(metered, f"/{chat_id}")).status_code == 409
        assert (await delete(metered, f"/{chat_id}?force=true")).status_code == 200
        assert await socket.closed() == (4410, "CHAT_DELETED")
    assert await in_thread(rows_holding, chat_id) == []
    balance, reserved, ledger = await in_thread(account_of, metered)
    assert (reserved, balance) == (0, ledger)
    assert ledger < 10_000


async def test_a_message_to_a_deleted_chat_is_not_found(acme: Actor) -> None:
    conversation_id = acme.new_conversation()
    acme.rest("DELETE", f"/{conversation_id}")
    answer = acme.customer("POST", f"/{conversation_id}/messages", json={"message": "hi"})
    assert_refused(answer, 404, "CHAT_NOT_FOUND", face="customer")


async def test_of_deletions_at_once_one_succeeds(acme: Actor) -> None:
    chat_id = acme.new_chat()
    answers = await asyncio.gather(*(delete(acme, f"/{chat_id}") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404, 404]
