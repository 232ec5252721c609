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
from chats.following import Standing, read_standing
from chats.models import Chat, Reply
from chats.posting import Posted
from streaming import wire
from tests.chats.conftest import end

Post = Callable[..., Posted]
Committed = Callable[[Callable[[], Any]], Standing | None]


@pytest.fixture
def told() -> Iterator[list[Standing | None]]:
    """What listeners were told, the latest last."""
    told: list[Standing | None] = []

    def listen(_: uuid.UUID, __: bool, standing: Standing | None) -> None:
        told.append(standing)

    wake.listen(listen)
    yield told
    wake.stop_listening(listen)


@pytest.fixture
def committed(told: list[Standing | None], django_capture_on_commit_callbacks: Any) -> Committed:
    """Do something, and answer what was told of it once it was committed: one thing."""

    def committed(act: Callable[[], Any]) -> Standing | None:
        told.clear()
        with django_capture_on_commit_callbacks(execute=True):
            act()
        [standing] = told
        return standing

    return committed


def frames(standing: Standing) -> list[Any]:
    """The messages as clients see them, but for the moment they are told."""
    return [json.loads(frame) | {"timestamp": ""} for message in standing.messages for frame in wire.told(message)]


def assert_is_what_a_reading_finds(standing: Standing | None, chat: Chat) -> None:
    assert standing is not None
    [message] = standing.messages
    found = read_standing(chat_id=chat.id, after=message.sequence - 1)
    assert found is not None
    assert frames(standing) == frames(found)
    changes = [tuple(change) for change in standing.recent_statuses]
    assert changes == [tuple(change) for change in found.recent_statuses]
    assert replace(standing, messages=[], recent_statuses=[]) == replace(found, messages=[], recent_statuses=[])


def test_a_question_whose_reply_begins(post: Post, chat: Chat, committed: Committed) -> None:
    standing = committed(lambda: post("hé", metadata={"b": [1, None]}, client_message_id="one"))
    assert standing is not None
    assert standing.running is not None
    assert_is_what_a_reading_finds(standing, chat)


def test_a_question_whose_reply_nobody_begins(post: Post, chat: Chat, committed: Committed) -> None:
    assert_is_what_a_reading_finds(committed(lambda: post(process_id=None)), chat)


def test_a_question_that_opens_a_closed_chat(post: Post, chat: Chat, committed: Committed) -> None:
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status="closed")
    standing = committed(post)
    assert standing is not None
    assert standing.status_count == 2
    assert_is_what_a_reading_finds(standing, chat)


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
    standing = committed(lambda: end(reply, escalate="they asked for one"))
    assert standing is not None
    assert standing.status == "escalated"
    assert_is_what_a_reading_finds(standing, chat)


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
