"""Rows may hold what only a later version knows, which stands beside this one in an upgrade: nothing ends by it.

Each value is shown as it is, or counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from chats import tokens
from chats.models import Chat, Message, Reply
from core.db.executor import in_thread
from knowledge.models import Article
from streaming.sse.reply_following import _finish
from tenants.authentication import NoValidKey
from tenants.models import ApiKey, CreditEntry, Tenant
from tests.staff.conftest import new_chat, olga  # noqa: F401 (fixtures)
from tests.support.actors import Actor, new_actor
from tests.support.client import script
from tests.webhooks.conftest import new_delivery, new_endpoint
from webhooks.models import Delivery, Endpoint

NewChat = Callable[..., Chat]


@pytest.fixture
def initech(db: None) -> Actor:
    return new_actor("Initech")


# --- What clients see ---


def test_a_chat_in_a_status_of_later_is_told_as_it_is(acme: Actor) -> None:
    chat = acme.new_chat()
    Chat.objects.filter(id=chat).update(status="snoozed")
    assert acme.rest("GET", f"/{chat}").json()["status"] == "snoozed"


async def test_a_chat_in_a_status_of_later_is_answered(acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    await in_thread(Chat.objects.filter(id=chat).update, status="snoozed")
    socket = await acme.join(chat)
    assert (await socket.say(script(say="Yes.")))["content"] == "Yes."


async def test_a_change_of_status_that_says_more_than_today_is_told(acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    later = {"status": "snoozed", "status_count": 1, "recent_statuses": [[0, "snoozed", {"until": "tomorrow"}]]}
    await in_thread(Chat.objects.filter(id=chat).update, **later)
    await socket.say(script(say="Yes."))
    assert [event["status"] for event in socket.of_type("chat_status_changed")] == ["snoozed"]


async def test_a_message_of_a_role_of_later_is_history_to_the_agent(acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    await socket.say(script(say="Yes."))
    await in_thread(Message.objects.filter(chat=chat, sequence=2).update, role="note", rating="meh")
    assert (await socket.say(script(say="No.")))["content"] == "No."
    messages = (await in_thread(acme.rest, "GET", f"/{chat}/messages")).json()["messages"]
    assert [message["sender_role"] for message in messages] == ["user", "note", "user", "assistant"]


async def test_a_model_of_a_later_backend_fails_the_reply_alone(acme: Actor) -> None:
    chat = await in_thread(acme.new_chat)
    socket = await acme.join(chat)
    await in_thread(Tenant.objects.filter(id=acme.tenant_id).update, model="later:model")
    assert (await socket.say("Hello?"))["metadata"]["failed"] is True
    await in_thread(Tenant.objects.filter(id=acme.tenant_id).update, model="openai:test")
    assert (await socket.say(script(say="Yes.")))["content"] == "Yes."


def test_a_key_of_a_kind_of_later_opens_nothing(acme: Actor) -> None:
    ApiKey.objects.filter(tenant=acme.tenant, kind="tenant").update(kind="agent")
    answer = acme.rest("GET", "/")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "WRONG_KEY_TYPE")


@pytest.mark.parametrize("named", [["one"], {"key": "k"}, 5, ["no id", "chat", "user", 0], [5, "chat", "user", "soon"]])
def test_a_chat_token_of_another_shape_opens_nothing(named: Any) -> None:
    with pytest.raises(NoValidKey):
        tokens.read_token(signing.dumps(named, salt=tokens._SALT, compress=False))


def test_a_reply_in_a_state_of_later_ends_its_stream() -> None:
    assert _finish("paused", {}).problem is None


# --- What staff see ---


def test_the_pages_of_a_chat_show_what_they_do_not_know(olga: Client, new_chat: NewChat) -> None:  # noqa: F811
    chat = new_chat("Hello?", "Good morning.")
    Chat.objects.filter(id=chat.id).update(status="snoozed")
    Message.objects.filter(chat=chat, sequence=2).update(role="note", rating="meh", metadata={"finish_reason": "later"})
    question = Message.objects.get(chat=chat, sequence=1)
    Reply.objects.create(tenant_id=chat.tenant_id, chat=chat, question=question, state="paused")
    page = olga.get(f"/admin/chats/chat/{chat.id}/change/")
    assert "snoozed" in page.content.decode()
    for path in ("chats/chat/", "chats/message/", f"chats/message/{question.id}/change/", ""):
        assert olga.get(f"/admin/{path}").status_code == 200


@pytest.mark.parametrize("model", ["tenants/apikey", "tenants/creditentry", "agents/article"])
def test_the_lists_of_rows_they_do_not_know_are_shown(olga: Client, initech: Actor, model: str) -> None:  # noqa: F811
    ApiKey.objects.filter(tenant=initech.tenant).update(kind="agent")
    entry = CreditEntry.objects.create(tenant=initech.tenant, reason="refund", amount=1, balance_after=1)
    assert str(entry) == "+1 (refund)"
    Article.objects.create(tenant=initech.tenant, title="Hours", body="9 to 5", state="review", language="tlh")
    rows: Any = {"tenants/apikey": ApiKey, "tenants/creditentry": CreditEntry, "agents/article": Article}[model]
    assert olga.get(f"/admin/{model}/").status_code == 200
    assert olga.get(f"/admin/{model}/{rows.objects.first().pk}/change/").status_code == 200


def test_saving_an_endpoint_keeps_the_events_of_later(olga: Client, initech: Actor) -> None:  # noqa: F811
    endpoint = new_endpoint(initech, events=["message.created", "chat.rated"])
    path = f"/admin/webhooks/endpoint/{endpoint.id}/change/"
    assert "chat.rated" in olga.get(path).content.decode()
    olga.post(path, {"url": endpoint.url, "events": endpoint.events, "is_enabled": "on"})
    assert Endpoint.objects.get(id=endpoint.id).events == ["message.created", "chat.rated"]


def test_a_delivery_of_later_is_shown(olga: Client, initech: Actor) -> None:  # noqa: F811
    delivery = new_delivery(new_endpoint(initech))
    Delivery.objects.filter(id=delivery.id).update(event="chat.rated", state="held")
    for path in ("", f"{delivery.id}/change/"):
        assert olga.get(f"/admin/webhooks/delivery/{path}").status_code == 200
