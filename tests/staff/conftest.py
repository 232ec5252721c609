"""The cast of the admin: Sam answers chats, Olga operates everything, Acme owns, Globex must see nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from chats.chats import do_create_chat
from chats.models import Chat, Message
from tests.support.actors import Actor, new_actor


@pytest.fixture
def acme(db: None) -> Actor:
    return new_actor("Acme")


@pytest.fixture
def globex(db: None) -> Actor:
    return new_actor("Globex")


def staff(name: str, *permissions: str, **fields: str) -> User:
    user = User.objects.create_user(name, is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def sam(db: None) -> Client:
    """Somebody of support: sees and changes chats."""
    return client_of(staff("sam", "view_chat", "change_chat", "view_message", first_name="Sam", last_name="Field"))


@pytest.fixture
def vera(db: None) -> Client:
    """Somebody who may only look."""
    return client_of(staff("vera", "view_chat"))


@pytest.fixture
def olga(db: None) -> Client:
    """The operator."""
    return client_of(User.objects.create_superuser("olga"))


NewChat = Callable[..., Chat]


@pytest.fixture
def new_chat(acme: Actor) -> NewChat:
    """Makes a chat in which user and agent speak in turns: `new_chat("Hello?", "Good morning.")`."""

    def make(
        *said: str, actor: Actor = acme, user_id: str = "alice", status: str = "active", minutes_ago: int = 0
    ) -> Chat:
        chat = do_create_chat(tenant_id=actor.tenant_id, user_id=user_id, metadata={})
        at = timezone.now() - timedelta(minutes=minutes_ago)
        messages: list[Message] = []
        for sequence, content in enumerate(said, 1):
            asked = sequence % 2 == 1
            messages.append(
                Message(
                    tenant_id=actor.tenant_id,
                    chat=chat,
                    sequence=sequence,
                    role="user" if asked else "assistant",
                    user=chat.user,
                    content=content,
                    reply_to=None if asked else messages[-1],
                    created_at=at,
                )
            )
        Message.objects.bulk_create(messages)
        chat.title = said[0][:60] if said else ""
        chat.status, chat.last_sequence, chat.updated_at = status, len(said), at
        chat.last_message_at = at if said else None
        chat.save()
        return chat

    return make


def page_of(chat: Chat) -> str:
    return f"/admin/chats/chat/{chat.id}/change/"


def answers_in(chat: Chat) -> list[Message]:
    """What people answered."""
    messages = Message.objects.for_tenant(chat.tenant_id).filter(chat=chat, role="assistant", reply_to=None)
    return list(messages.order_by("sequence"))
