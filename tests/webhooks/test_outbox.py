"""What happened is kept for whoever asked, exactly if it is committed."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from chats import webhook_payloads
from chats.changes import change_chat
from chats.deletion import delete_chat
from chats.models import Chat, Process
from chats.posting import Draft, Posted, post_message
from chats.staff_replies import post_person_reply
from tenants.models import Tenant
from tests.chats.conftest import end
from tests.support.actors import Actor
from tests.webhooks.conftest import deliveries, new_chat, new_endpoint
from webhooks.models import Delivery


@pytest.fixture
def chat(acme: Actor) -> Chat:
    return new_chat(acme, metadata={"order": "1042"})


@pytest.fixture
def process(db: None) -> uuid.UUID:
    return Process.objects.create().id


def post(actor: Actor, chat: Chat, content: str = "hello", process: uuid.UUID | None = None, **fields: Any) -> Posted:
    return post_message(
        tenant=Tenant.objects.select_related("account").get(id=actor.tenant_id),
        chat_id=chat.id,
        user=chat.user,
        draft=Draft(content, fields.pop("metadata", {}), fields.pop("client_message_id", None)),
        process_id=process,
    )


def told(actor: Actor) -> list[Any]:
    return [orjson.loads(delivery.body) for delivery in deliveries(actor)]


def test_a_message_of_a_user(acme: Actor, chat: Chat) -> None:
    new_endpoint(acme)
    posted = post(acme, chat, "Where is my order?", metadata={"page": "/cart"})
    [body] = told(acme)
    assert body.pop("timestamp").endswith("Z")
    assert body == {
        "event": "message.created",
        "conversation": {
            "id": str(chat.id),
            "status": "active",
            "customerIdentifier": "alice",
            "createdAt": chat.created_at.isoformat().replace("+00:00", "Z"),
            "metadata": {"order": "1042"},
        },
        "messages": [
            {
                "id": str(posted.message.id),
                "sequence": 1,
                "role": "user",
                "content": "Where is my order?",
                "createdAt": posted.message.created_at.isoformat().replace("+00:00", "Z"),
            }
        ],
        "payload": {"replyTo": None, "metadata": {"page": "/cart"}},
    }


def test_a_reply_of_the_agent(acme: Actor, chat: Chat, process: uuid.UUID) -> None:
    posted = post(acme, chat, process=process)
    new_endpoint(acme)
    assert posted.reply is not None
    end(posted.reply, content="It is on its way.", metadata={"model": "builtin"})
    [body] = told(acme)
    assert [(each["role"], each["content"]) for each in body["messages"]] == [("assistant", "It is on its way.")]
    assert body["payload"] == {"replyTo": str(posted.message.id), "metadata": {"model": "builtin"}}


def test_a_reply_of_a_person(acme: Actor, chat: Chat) -> None:
    new_endpoint(acme)
    post_person_reply(tenant_id=acme.tenant_id, chat_id=chat.id, content="I look into it.", author_name="Sam")
    [body] = told(acme)
    [message] = body["messages"]
    assert (message["role"], message["author"], message["authorName"]) == ("assistant", "human", "Sam")


def test_an_escalation_tells_why_and_what_was_said(acme: Actor, chat: Chat, process: uuid.UUID) -> None:
    posted = post(acme, chat, "A person, please", process=process)
    new_endpoint(acme, events=["conversation.escalated"])
    assert posted.reply is not None
    end(posted.reply, content="I fetch somebody.", escalate="The user asked for a person")
    [body] = told(acme)
    assert (body["event"], body["payload"]) == ("conversation.escalated", {"reason": "The user asked for a person"})
    assert body["conversation"]["status"] == "escalated"
    assert [(each["role"], each["content"]) for each in body["messages"]] == [
        ("user", "A person, please"),
        ("assistant", "I fetch somebody."),
    ]


def test_staff_who_take_over_are_an_escalation_too_once(acme: Actor, chat: Chat) -> None:
    new_endpoint(acme)
    for _ in range(2):
        change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status="escalated")
    [body] = told(acme)
    assert (body["event"], body["payload"]["reason"]) == ("conversation.escalated", webhook_payloads.TAKEN_OVER)


def test_an_agent_that_escalates_what_staff_took_over_is_no_news(acme: Actor, chat: Chat, process: uuid.UUID) -> None:
    posted = post(acme, chat, process=process)
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status="escalated")
    new_endpoint(acme, events=["conversation.escalated"])
    assert posted.reply is not None
    end(posted.reply, escalate="The user asked for a person")
    assert told(acme) == []


def test_a_close(acme: Actor, chat: Chat) -> None:
    post(acme, chat, "Thank you")
    new_endpoint(acme)
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status="closed")
    [body] = told(acme)
    assert (body["event"], body["conversation"]["status"], body["payload"]) == ("chat.closed", "closed", {})
    assert [each["content"] for each in body["messages"]] == ["Thank you"]


def test_a_message_that_opens_a_closed_chat_tells_it_open(acme: Actor, chat: Chat) -> None:
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status="closed")
    new_endpoint(acme)
    post(acme, chat)
    [body] = told(acme)
    assert body["conversation"]["status"] == "active"


@pytest.mark.parametrize("fields", [{"status": "active"}, {"title": "Refund"}, {"metadata": {"a": 1}}])
def test_other_changes_are_not_told(acme: Actor, chat: Chat, fields: dict[str, Any]) -> None:
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status="escalated")
    new_endpoint(acme)
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, **fields)
    assert told(acme) == []


def test_a_repeated_message_is_told_once(acme: Actor, chat: Chat) -> None:
    new_endpoint(acme)
    for _ in range(2):
        post(acme, chat, client_message_id="m1")
    assert len(told(acme)) == 1


def test_a_long_chat_is_told_by_its_latest_messages(acme: Actor, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_payloads, "LATEST", 3)
    monkeypatch.setattr(webhook_payloads, "MOST_CHARACTERS", 10)
    for content in ("one", "two", "three", "four"):
        post(acme, chat, content)
    new_endpoint(acme, events=["chat.closed"])
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status="closed")
    [body] = told(acme)
    assert [each["content"] for each in body["messages"]] == ["three", "four"]


# --- Who gets it ---


def test_what_is_rolled_back_is_not_kept(acme: Actor, chat: Chat) -> None:
    new_endpoint(acme)
    with transaction.atomic():
        post(acme, chat)
        assert len(deliveries(acme)) == 1
        transaction.set_rollback(True)
    assert deliveries(acme) == []


def test_each_endpoint_gets_what_it_asked_for(acme: Actor, chat: Chat) -> None:
    messages = new_endpoint(acme, events=["message.created"])
    new_endpoint(acme, events=["chat.closed"])
    everything = new_endpoint(acme)
    post(acme, chat)
    assert {delivery.endpoint_id for delivery in deliveries(acme)} == {messages.id, everything.id}


def test_one_that_is_switched_off_gets_nothing(acme: Actor, chat: Chat) -> None:
    endpoint = new_endpoint(acme)
    endpoint.is_enabled = False
    endpoint.save()
    post(acme, chat)
    assert deliveries(acme) == []


def test_globex_hears_nothing_of_acme(acme: Actor, globex: Actor, chat: Chat, process: uuid.UUID) -> None:
    new_endpoint(globex)
    posted = post(acme, chat, process=process)
    assert posted.reply is not None
    end(posted.reply, escalate="The user asked for a person")
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status="closed")
    assert list(Delivery.objects.all_tenants()) == []


def test_without_endpoints_a_message_costs_one_more_query(acme: Actor, chat: Chat) -> None:
    with CaptureQueriesContext(connection) as captured:
        post(acme, chat)
    about = [query["sql"] for query in captured.captured_queries if "webhooks_" in query["sql"]]
    assert len(about) == 1
    assert about[0].startswith("SELECT")


def test_what_is_deleted_is_told_no_more(acme: Actor, globex: Actor, chat: Chat) -> None:
    new_endpoint(acme)
    post(acme, chat)
    other = new_chat(acme, user_id="bob")
    kept = post(acme, other)
    delete_chat(tenant_id=acme.tenant_id, chat_id=chat.id)
    [delivery] = deliveries(acme)
    assert str(kept.message.id) in delivery.body
