"""What an agent gets to know of a chat: each question with its reply, and no more than there is room for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.contract import Policy, Request
from chats.agent_context import build_context, build_context_of
from chats.changes import change_chat
from chats.chats import do_create_chat
from chats.models import Chat, Message, Reply, StaffPresence
from chats.posting import Posted
from chats.staff_presence import note_presence
from chats.staff_replies import post_person_reply
from tenants.models import Tenant
from tests.chats.conftest import end

Post = Callable[..., Posted]


def said_before(posted: Posted) -> list[tuple[str, str]]:
    assert posted.reply is not None
    prepared = build_context(tenant_id=posted.message.tenant_id, reply_id=posted.reply.id)
    assert prepared is not None
    assert prepared.request.question == posted.message.content
    return [(turn.role, turn.content) for turn in prepared.request.history]


def finish(posted: Posted, content: str, **fields: object) -> None:
    assert posted.reply is not None
    posted.reply.refresh_from_db(from_queryset=Reply.objects.for_tenant(posted.message.tenant_id))
    end(posted.reply, content=content, **fields)  # type: ignore[arg-type]


def test_the_first_question_has_nothing_before_it(post: Post) -> None:
    assert said_before(post("hello")) == []


def test_each_question_is_followed_by_its_reply_though_they_were_sent_at_once(post: Post) -> None:
    first, second, third = post("q1"), post("q2"), post("q3")
    finish(first, "a1")
    finish(second, "a2")
    assert said_before(third) == [("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2")]


def test_what_was_asked_later_is_not_known_yet(post: Post) -> None:
    first = post("q1")
    post("q2")
    assert said_before(first) == []


def test_a_reply_without_words_is_left_out(post: Post) -> None:
    first, second = post("q1"), post("q2")
    finish(first, "", state=Reply.State.FAILED)
    assert said_before(second) == [("user", "q1")]


def test_what_a_person_said_stands_where_they_said_it(post: Post, chat: Chat) -> None:
    finish(post("q1"), "a1")
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ESCALATED)
    post_person_reply(tenant_id=chat.tenant_id, chat_id=chat.id, content="Sam here", author_name="Sam")
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ACTIVE)
    assert said_before(post("q2"))[-1] == ("assistant", "Sam here")


def test_the_oldest_is_left_out_where_there_is_no_room(post: Post, chat: Chat) -> None:
    for number in (1, 2, 3):
        finish(post(f"q{number}"), f"a{number}")
    Tenant.objects.filter(id=chat.tenant_id).update(history_max_tokens=17)  # a turn of these is 5
    assert said_before(post("q4")) == [("user", "q3"), ("assistant", "a3")]


def test_only_what_was_said_in_this_chat_is_told(post: Post, chat: Chat) -> None:
    """Titles, metadata, marks and reasons are for staff and clients."""
    finish(post("q1", metadata={"plan": "canary-1"}), "a1", metadata={"model": "canary-2"})
    finish(post("q2"), "", state=Reply.State.FAILED)
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ESCALATED, title="canary-3")
    Chat.objects.for_tenant(chat.tenant_id).filter(id=chat.id).update(escalation_reason="canary-4")
    post_person_reply(tenant_id=chat.tenant_id, chat_id=chat.id, content="Sam here", author_name="canary-5")
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ACTIVE)
    other = do_create_chat(tenant_id=chat.tenant_id, user_id=chat.user.external_id, metadata={})
    Message.objects.create(
        tenant_id=chat.tenant_id, chat=other, sequence=1, role=Message.Role.USER, user=chat.user, content="canary-6"
    )
    posted = post("q3")
    assert said_before(posted) == [
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "q2"),
        ("assistant", "Sam here"),
    ]
    assert posted.reply is not None
    prepared = build_context(tenant_id=chat.tenant_id, reply_id=posted.reply.id)
    assert prepared is not None
    assert "canary-" not in repr(prepared.request)


def test_the_tenants_policy_comes_with_the_question(post: Post, chat: Chat) -> None:
    Tenant.objects.filter(id=chat.tenant_id).update(model="openai:gpt", instructions="Be kind.", reply_max_characters=7)
    posted = post("q1")
    assert posted.reply is not None
    prepared = build_context(tenant_id=chat.tenant_id, reply_id=posted.reply.id)
    assert prepared is not None
    assert (prepared.model, prepared.request.instructions, prepared.reply_max_characters) == (
        "openai:gpt",
        "Be kind.",
        7,
    )


def test_when_the_tenant_gives_up_comes_with_the_question(post: Post, chat: Chat) -> None:
    Tenant.objects.filter(id=chat.tenant_id).update(
        answer_threshold=0.7, escalation_keywords=["lawyer", "legal action"], escalation_after=5
    )
    policy = request_of(post("q1")).policy
    assert (policy.answer_threshold, policy.escalation_after) == (0.7, 5)
    assert policy.escalation_keywords == ("lawyer", "legal action")


def test_a_tenant_that_says_nothing_gives_up_as_an_agent_does_by_itself() -> None:
    tenant, policy = Tenant(), Policy()
    assert (tenant.answer_threshold, tenant.escalation_after) == (policy.answer_threshold, policy.escalation_after)


def test_where_vectors_are_made_the_search_is_left_to_who_asks_for_them(post: Post, chat: Chat, settings: Any) -> None:
    settings.EMBEDDING_MODEL = "openai:meaning"
    finish(post("How long does delivery take?"), "Two days.")
    posted = post("And to Norway?")
    assert posted.reply is not None
    with CaptureQueriesContext(connection) as captured:
        prepared = build_context(tenant_id=chat.tenant_id, reply_id=posted.reply.id)
    assert prepared is not None
    assert (prepared.search, prepared.request.passages) == ("How long does delivery take?\nAnd to Norway?", ())
    assert not any("agents_article" in query["sql"] for query in captured.captured_queries)


# --- Replies without an answer ---

FAILED = {"state": Reply.State.FAILED, "metadata": {"failed": True}}
UNKNOWN = {"metadata": {"answered": False}}
STOPPED = {"state": Reply.State.STOPPED, "metadata": {"stopped": True}}


def request_of(posted: Posted) -> Request:
    assert posted.reply is not None
    prepared = build_context(tenant_id=posted.message.tenant_id, reply_id=posted.reply.id)
    assert prepared is not None
    return prepared.request


@pytest.mark.parametrize(
    ("replies", "unanswered"),
    [
        ([], 0),
        ([FAILED], 1),
        ([UNKNOWN, FAILED, UNKNOWN], 3),
        ([FAILED, {}], 0),
        ([FAILED, {}, UNKNOWN], 1),
        ([UNKNOWN, STOPPED], 0),
        ([FAILED, {"metadata": {"failed": True, "escalated": True}}], 0),
    ],
)
def test_replies_without_an_answer_are_counted_back_to_the_last_with_one(
    post: Post, replies: list[dict[str, Any]], unanswered: int
) -> None:
    for fields in replies:
        finish(post("q"), "a", **fields)
    assert request_of(post("now")).unanswered == unanswered


def test_a_persons_reply_is_an_answer(post: Post, chat: Chat) -> None:
    finish(post("q1"), "a1", **UNKNOWN)
    post_person_reply(tenant_id=chat.tenant_id, chat_id=chat.id, content="Sam here", author_name="Sam")
    assert request_of(post("q2")).unanswered == 0


def test_what_waits_is_not_counted(post: Post) -> None:
    first = post("q1")
    post("q2")
    assert request_of(first).unanswered == 0


# --- When nobody is there ---


@pytest.fixture
def sam(db: None) -> User:
    """Somebody of support."""
    user = User.objects.create_user("sam", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_chat"))
    return user


@pytest.fixture
def away(chat: Chat) -> str:
    """What Acme says when nobody is there."""
    Tenant.objects.filter(id=chat.tenant_id).update(away_message="We are back at nine.")
    return "We are back at nine."


def test_where_nobody_is_there_the_agent_knows_what_to_say(post: Post, away: str) -> None:
    assert request_of(post("q1")).policy.away_message == away


def test_where_somebody_is_there_nothing_is_said_of_it(post: Post, away: str, sam: User) -> None:
    note_presence(sam)
    assert request_of(post("q1")).policy.away_message == ""


def test_who_has_not_used_the_admin_for_long_is_away(post: Post, away: str, sam: User) -> None:
    note_presence(sam)
    StaffPresence.objects.update(seen_at=timezone.now() - timedelta(seconds=settings.STAFF_AWAY_SECONDS + 1))
    assert request_of(post("q1")).policy.away_message == away


def test_who_left_the_staff_is_away(post: Post, away: str, sam: User) -> None:
    note_presence(sam)
    User.objects.filter(id=sam.id).update(is_active=False)
    assert request_of(post("q1")).policy.away_message == away


def test_a_tenant_that_says_nothing_costs_no_look_at_who_is_there(post: Post) -> None:
    posted = post("q1")
    with CaptureQueriesContext(connection) as captured:
        request_of(posted)
    assert not any("staffpresence" in query["sql"] for query in captured.captured_queries)


# --- Where the question was stored just now ---


def test_a_reply_that_begins_is_prepared_as_any_other_and_nothing_at_hand_is_read_again(post: Post) -> None:
    finish(post("q1"), "a1")
    posted = post("q2")
    assert posted.reply is not None
    with CaptureQueriesContext(connection) as queries:
        prepared = build_context_of(posted.reply)
    assert prepared is not None
    assert prepared == build_context(tenant_id=posted.message.tenant_id, reply_id=posted.reply.id)
    assert [query["sql"] for query in queries if '"tenants_tenant"."instructions"' in query["sql"]] == []


def test_of_a_reply_that_was_found_by_itself_the_rest_is_read(post: Post) -> None:
    posted = post("q1")
    assert posted.reply is not None
    found = Reply.objects.for_tenant(posted.message.tenant_id).get(id=posted.reply.id)
    assert build_context_of(found) == build_context_of(posted.reply)


def test_a_reply_that_is_gone_is_not_prepared(post: Post) -> None:
    posted = post("q1")
    assert posted.reply is not None
    found = Reply.objects.for_tenant(posted.message.tenant_id).get(id=posted.reply.id)
    found.delete()
    found.id = posted.reply.id
    assert build_context_of(found) is None
