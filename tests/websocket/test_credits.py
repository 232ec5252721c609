"""Guarantee 8: credits are reserved, taken and given back to the last one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from django.db.models import Sum

from core.db.executor import in_thread
from tenants.models import Account, CreditEntry, Tenant
from tests.support.actors import Actor
from tests.support.client import Socket
from tests.websocket.conftest import Model, NewTenant, history


@dataclass(frozen=True)
class Books:
    """What the account of a tenant holds, and the costs of replies in its ledger."""

    balance: int | None
    reserved: int
    costs: list[int]


async def books(actor: Actor) -> Books:
    """The account, after its ledger was found to add up to it."""

    def read() -> Books:
        account = Account.objects.get(tenant_id=actor.tenant_id)
        entries = CreditEntry.objects.for_tenant(actor.tenant_id).order_by("id")
        assert (entries.aggregate(sum=Sum("amount"))["sum"] or 0) == (account.balance or 0)
        after = 0
        for entry in entries:
            after += entry.amount
            assert entry.balance_after == after >= 0
        return Books(account.balance, account.reserved, [-e.amount for e in entries if e.reason == "reply"])

    return await in_thread(read)


async def test_of_eighty_messages_at_once_on_twenty_credits_twenty_are_accepted(
    new_tenant: NewTenant, model: Model
) -> None:
    acme = await new_tenant(credits=20, queue_depth=80)
    chats = [acme.new_chat() for _ in range(4)]
    sockets = [await acme.join(chat_id) for chat_id in chats for _ in range(2)]
    # No reply ends, so none gives a reserve back, before every message was answered.
    question = model.script(say="one two three", hold=True)

    async def talk(socket: Socket, number: int) -> None:
        for count in range(10):
            await socket.send({"content": question, "client_message_id": f"{number}/{count}"})
        mine: set[str] = set()
        while len(mine) < 10:
            event = await socket.next()
            named = event.get("client_message_id") or event.get("details", {}).get("client_message_id") or ""
            if named.startswith(f"{number}/"):
                mine.add(named)

    await asyncio.gather(*(talk(socket, number) for number, socket in enumerate(sockets)))
    refused = [event["error_code"] for socket in sockets for event in socket.of_type("error")]
    assert refused == ["PAYMENT_REQUIRED"] * 60
    assert await books(acme) == Books(20, 20, [])
    model.release()
    for chat_id, socket in zip(chats, sockets[::2], strict=True):
        asked = [row for row in history(acme, chat_id) if row["sender_role"] == "user"]
        while len(socket.of_type("message_stream_ended")) < len(asked):
            await socket.next()
    await asyncio.gather(*(socket.close() for socket in sockets))
    said = [row["sender_role"] for chat_id in chats for row in history(acme, chat_id)]
    assert sorted(said) == ["assistant"] * 20 + ["user"] * 20
    assert len(model.calls()) == 20
    at_the_end = await books(acme)
    assert (at_the_end.reserved, len(at_the_end.costs)) == (0, 20)
    assert at_the_end.balance == 20 - sum(at_the_end.costs) >= 0


async def test_a_reply_costs_the_tokens_its_model_reports(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(credits=1000)
    async with await acme.join(acme.new_chat()) as socket:
        ended = await socket.say(model.script(say="one two three four", tokens=4))
    cost = ended["metadata"]["tokens_used"]
    read = sum(len(message["content"].split()) for message in model.calls()[0]["messages"])
    assert cost == read + 4
    assert await books(acme) == Books(1000 - cost, 0, [cost])


async def test_a_reply_of_a_model_that_reports_nothing_costs_a_quarter_of_its_characters(
    new_tenant: NewTenant, model: Model
) -> None:
    acme = await new_tenant(credits=1000)
    async with await acme.join(acme.new_chat()) as socket:
        ended = await socket.say(model.script(say="x" * 400, usage=False))
    [cost] = (await books(acme)).costs
    assert cost == ended["metadata"]["tokens_used"]
    read = sum(len(message["content"]) for message in model.calls()[0]["messages"])
    assert abs(cost - (read + 400) / 4) <= 1 + len(model.calls()[0]["messages"])


async def test_a_reply_that_failed_before_its_first_token_costs_nothing(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(credits=10)
    async with await acme.join(acme.new_chat()) as socket:
        await socket.say(model.script(fail="http-500"))
    assert await books(acme) == Books(10, 0, [])


async def test_a_reply_that_failed_in_the_middle_costs_what_was_said(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(credits=1000)
    async with await acme.join(acme.new_chat()) as socket:
        ended = await socket.say(model.script(say="one two three four", fail="close", after=3))
    cost = ended["metadata"]["tokens_used"]
    assert ended["failed"] is True
    assert cost > 0
    assert await books(acme) == Books(1000 - cost, 0, [cost])


async def test_a_reply_never_costs_more_than_there_is(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(credits=3)
    async with await acme.join(acme.new_chat()) as socket:
        ended = await socket.say(model.script(say="word " * 50))
    assert ended["metadata"]["tokens_used"] > 3
    assert await books(acme) == Books(0, 0, [3])


async def test_a_reply_leaves_what_others_have_reserved(new_tenant: NewTenant, model: Model) -> None:
    acme = await new_tenant(credits=5)
    async with await acme.join(acme.new_chat()) as held, await acme.join(acme.new_chat()) as free:
        await held.send({"content": model.script(say="word " * 50, hold=True)})
        await held.until("message_stream_token")
        await free.say("word " * 50)
        assert await books(acme) == Books(1, 1, [4])
        model.release()
        await held.until("message_stream_ended")
    assert await books(acme) == Books(0, 0, [4, 1])


async def test_without_a_free_credit_nothing_is_stored_and_no_model_is_asked(
    new_tenant: NewTenant, model: Model
) -> None:
    acme = await new_tenant(credits=0)
    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await socket.send({"content": model.script(say="one"), "client_message_id": "m1"})
        error = await socket.next()
        assert (error["error_code"], error["details"]["client_message_id"]) == ("PAYMENT_REQUIRED", "m1")
        assert await socket.quiet() == []
    assert history(acme, chat_id) == []
    assert model.calls() == []
    assert await books(acme) == Books(0, 0, [])


@pytest.mark.parametrize("credits", [100, None])
async def test_without_a_subscription_messages_are_refused_until_it_is_back(
    new_tenant: NewTenant, credits: int | None
) -> None:
    acme = await new_tenant(credits=credits)

    def subscribe(active: bool) -> Any:
        return Tenant.objects.filter(id=acme.tenant_id).update(subscription_active=active)

    chat_id = acme.new_chat()
    async with await acme.join(chat_id) as socket:
        await in_thread(subscribe, False)
        await socket.send({"content": "Hello"})
        assert (await socket.next())["error_code"] == "PAYMENT_REQUIRED"
        assert history(acme, chat_id) == []
        await in_thread(subscribe, True)
        assert (await socket.say("Hello"))["sequence"] == 2


async def test_a_tenant_without_credits_set_is_not_metered(acme: Actor) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        assert (await socket.say("Hello"))["metadata"]["tokens_used"] > 0
    assert await books(acme) == Books(None, 0, [])
