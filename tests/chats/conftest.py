"""Acme's chat, two processes, and the steps that tests of the services share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from chats.chats import do_create_chat
from chats.models import Chat, Process, Reply
from chats.posting import Draft, Posted, post_message
from chats.replies.ending import Ended, Outcome, end_reply
from tenants.models import Tenant
from tests.support.actors import Actor, new_actor


@pytest.fixture
def acme(db: None) -> Actor:
    return new_actor("Acme")


@pytest.fixture
def chat(acme: Actor) -> Chat:
    return do_create_chat(tenant_id=acme.tenant_id, user_id="alice", metadata={})


@pytest.fixture
def process(db: None) -> uuid.UUID:
    """A process that lives."""
    return Process.objects.create().id


@pytest.fixture
def other_process(db: None) -> uuid.UUID:
    """Another one that lives."""
    return Process.objects.create().id


@pytest.fixture
def post(acme: Actor, chat: Chat, process: uuid.UUID) -> Callable[..., Posted]:
    """Post a message of Alice's in the chat, for the process."""

    def post(content: str = "hello", **fields: Any) -> Posted:
        return post_message(
            tenant=Tenant.objects.select_related("account").get(id=acme.tenant_id),
            chat_id=chat.id,
            user=chat.user,
            draft=Draft(content, fields.pop("metadata", {}), fields.pop("client_message_id", None)),
            process_id=fields.pop("process_id", process),
        )

    return post


def end(reply: Reply, *, state: str = Reply.State.DONE, content: str = "said", **fields: Any) -> Ended:
    """End the reply as its owner would."""
    return end_reply(
        tenant_id=reply.tenant_id,
        reply_id=reply.id,
        epoch=fields.pop("epoch", reply.epoch),
        process_id=fields.pop("process_id", reply.owner_id),
        outcome=Outcome(state, content, **fields),
    )


def die(process_id: uuid.UUID, *, after: float = 0.0) -> None:
    """The process was last heard of an hour ago, or so many seconds later."""
    Process.objects.filter(id=process_id).update(beat_at=Now() - timedelta(hours=1, seconds=-after))
