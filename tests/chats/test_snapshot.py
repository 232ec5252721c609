"""What a commit tells of its chat is what a reading of it finds."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from chats import wake
from chats.changes import change_chat
from chats.following import ChatSnapshot, read_snapshot
from chats.models import Chat, Reply
from chats.posting import Posted
from streaming import wire
from tests.chats.conftest import end

Post = Callable[..., Posted]
Committed = Callable[[Callable[[], Any]], ChatSnapshot | None]


@pytest.fixture
def told() -> Iterator[list[ChatSnapshot | None]]:
    """What listeners were told, the latest last."""
    told: list[ChatSnapshot | None] = []

    def listen(_: uuid.UUID, __: bool, snapshot: ChatSnapshot | None) -> None:
        told.append(snapshot)

    wake.listen(listen)
    yield told
    wake.stop_listening(listen)


@pytest.fixture
def committed(told: list[ChatSnapshot | None], django_capture_on_commit_callbacks: Any) -> Committed:
    """Do something, and answer what was told of it once it was committed: one thing."""

    def committed(act: Callable[[], Any]) -> ChatSnapshot | None:
        told.clear()
        with django_capture_on_commit_callbacks(execute=True):
            act()
        [snapshot] = told
        return snapshot

    return committed


def frames(snapshot: ChatSnapshot) -> list[Any]:
    """The messages as clients see them, but for the moment they are told."""
    return [json.loads(frame) | {"timestamp": ""} for message in snapshot.messages for frame in wire.told(message)]


def assert_is_what_a_reading_finds(snapshot: ChatSnapshot | None, chat: Chat) -> None:
    assert snapshot is not None
    [message] = snapshot.messages
    found = read_snapshot(chat_id=chat.id, after=message.sequence - 1)
    assert found is not None
    assert frames(snapshot) == frames(found)
    changes = [tuple(change) for change in snapshot.recent_statuses]
    assert changes == [tuple(change) for change in found.recent_statuses]
    assert replace(snapshot, messages=[], recent_statuses=[]) == replace(found, messages=[], recent_statuses=[])


def test_a_question_whose_reply_begins(post: Post, chat: Chat, committed: Committed) -> None:
    snapshot = committed(lambda: post("hé", metadata={"b": [1, None]}, client_message_id="one"))
    assert snapshot is not None
    assert snapshot.running is not None
    assert_is_what_a_reading_finds(snapshot, chat)


def test_a_question_whose_reply_nobody_begins(post: Post, chat: Chat, committed: Committed) -> None:
    assert_is_what_a_reading_finds(committed(lambda: post(process_id=None)), chat)


def test_a_question_that_opens_a_closed_chat(post: Post, chat: Chat, committed: Committed) -> None:
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status="closed")
    snapshot = committed(post)
    assert snapshot is not None
    assert snapshot.status_count == 2
    assert_is_what_a_reading_finds(snapshot, chat)


def test_a_message_that_a_person_answers(post: Post, chat: Chat, committed: Committed) -> None:
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status="escalated")
    assert_is_what_a_reading_finds(committed(post), chat)


def test_a_reply_that_ends(post: Post, chat: Chat, committed: Committed) -> None:
    reply = post().reply
    assert reply is not None
    metadata = {"model": "builtin", "tokens_used": 3, "sources": [{"id": "1", "title": "Ü"}]}
    assert_is_what_a_reading_finds(committed(lambda: end(reply, content="said", metadata=metadata, cost=3)), chat)


def test_a_reply_that_calls_a_person(post: Post, chat: Chat, committed: Committed) -> None:
    reply = post().reply
    assert reply is not None
    snapshot = committed(lambda: end(reply, escalate="they asked for one"))
    assert snapshot is not None
    assert snapshot.status == "escalated"
    assert_is_what_a_reading_finds(snapshot, chat)


def test_which_reply_runs_beside_another_one_only_a_reading_tells(post: Post, committed: Committed) -> None:
    first = post().reply
    assert first is not None
    assert committed(post) is None
    assert committed(lambda: end(first)) is None


def test_the_end_of_a_reply_that_others_follow_but_nobody_begins(post: Post, chat: Chat, committed: Committed) -> None:
    first = post().reply
    assert first is not None
    post()
    # Its process stops, and begins none any more.
    assert_is_what_a_reading_finds(committed(lambda: end(first, process_id=None)), chat)


def test_a_reply_that_ended_before_is_told_of_by_a_reading(post: Post, committed: Committed) -> None:
    reply = post().reply
    assert reply is not None
    end(reply)
    assert committed(lambda: end(reply)) is None
    assert Reply.objects.for_tenant(reply.tenant_id).get(id=reply.id).state == Reply.State.DONE
