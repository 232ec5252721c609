"""A reply ends exactly once, whoever tries to end it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from chats.changes import change_chat
from chats.deletion import delete_chat
from chats.models import Chat, Checkpoint, Message, Reply
from chats.posting import Posted
from chats.replies.stopping import request_stop
from chats.staff_replies import post_person_reply
from chats.statuses import REASON_CHARACTERS
from tenants.credits import do_grant
from tenants.models import Account, CreditEntry
from tests.chats.conftest import end
from tests.support.actors import Actor

Post = Callable[..., Posted]


def test_the_reply_becomes_the_message_whose_id_it_had(post: Post, chat: Chat) -> None:
    posted = post()
    assert posted.reply is not None
    assert end(posted.reply, content="said", metadata={"model": "m"}).is_owned
    message = Message.objects.for_tenant(chat.tenant_id).get(id=posted.reply.id)
    assert (message.role, message.content, message.metadata) == ("assistant", "said", {"model": "m"})
    assert message.reply_to_id == posted.message.id
    assert message.user_id == posted.message.user_id


def test_the_end_of_another_epoch_is_not_stored(post: Post, chat: Chat) -> None:
    reply = post().reply
    assert reply is not None
    Reply.objects.for_tenant(chat.tenant_id).update(epoch=2)
    assert not end(reply, epoch=1).is_owned
    assert not Message.objects.for_tenant(chat.tenant_id).filter(id=reply.id).exists()


def test_a_second_end_answers_as_the_first_and_changes_nothing(post: Post, acme: Actor) -> None:
    do_grant(tenant_id=acme.tenant_id, amount=100)
    first = post().reply
    second = post().reply
    assert first is not None
    assert second is not None
    ended = end(first, cost=5)
    again = end(first, content="other", cost=7)
    assert again.is_owned
    assert ended.next_reply is not None
    assert again.next_reply is not None
    assert again.next_reply.id == ended.next_reply.id == second.id
    assert Message.objects.for_tenant(acme.tenant_id).get(id=first.id).content == "said"
    assert Account.objects.get(tenant_id=acme.tenant_id).balance == 95


def test_the_next_reply_is_the_oldest_that_waits(post: Post) -> None:
    first, second, _ = post("one").reply, post("two").reply, post("three").reply
    assert first is not None
    assert second is not None
    following = end(first).next_reply
    assert following is not None
    assert (following.id, following.state, following.tries) == (second.id, Reply.State.RUNNING, 1)


def test_a_process_that_stops_claims_no_next_reply(post: Post) -> None:
    first, second = post("one").reply, post("two").reply
    assert first is not None
    assert second is not None
    assert end(first, process_id=None).next_reply is None
    second.refresh_from_db()
    assert second.state == Reply.State.QUEUED


def test_the_end_turns_the_reserve_into_the_cost(post: Post, acme: Actor) -> None:
    do_grant(tenant_id=acme.tenant_id, amount=50)
    reply = post().reply
    assert reply is not None
    end(reply, cost=20)
    account = Account.objects.get(tenant_id=acme.tenant_id)
    assert (account.balance, account.reserved) == (30, 0)
    entries = CreditEntry.objects.for_tenant(acme.tenant_id).values_list(
        "reason", "amount", "balance_after", "reply_id"
    )
    assert set(entries) == {("grant", 50, 50, None), ("reply", -20, 30, reply.id)}


def test_the_cost_never_uncovers_another_reserve(post: Post, acme: Actor) -> None:
    do_grant(tenant_id=acme.tenant_id, amount=3)
    first = post().reply
    post()
    assert first is not None
    end(first, cost=1000)
    account = Account.objects.get(tenant_id=acme.tenant_id)
    assert (account.balance, account.reserved) == (1, 1)


def test_a_reply_without_cost_leaves_no_entry(post: Post, acme: Actor) -> None:
    do_grant(tenant_id=acme.tenant_id, amount=3)
    reply = post().reply
    assert reply is not None
    end(reply, state=Reply.State.FAILED, content="", cost=0)
    assert [entry.reason for entry in CreditEntry.objects.for_tenant(acme.tenant_id)] == ["grant"]
    assert Account.objects.get(tenant_id=acme.tenant_id).reserved == 0


def test_an_end_that_escalates_drops_what_waits_and_gives_its_reserve_back(post: Post, acme: Actor, chat: Chat) -> None:
    do_grant(tenant_id=acme.tenant_id, amount=10)
    first, second = post().reply, post().reply
    assert first is not None
    assert second is not None
    assert end(first, escalate="asked for a person", cost=1).next_reply is None
    second.refresh_from_db()
    chat.refresh_from_db()
    assert (second.state, chat.status) == (Reply.State.DROPPED, Chat.Status.ESCALATED)
    account = Account.objects.get(tenant_id=acme.tenant_id)
    assert (account.balance, account.reserved) == (9, 0)


def test_checkpoints_go_with_the_end(post: Post) -> None:
    reply = post().reply
    assert reply is not None
    Checkpoint.objects.create(reply=reply, epoch=1, first_piece=0, pieces=["sa"])
    end(reply)
    assert not Checkpoint.objects.filter(reply=reply).exists()


def test_the_end_of_a_deleted_chats_reply_is_charged_and_takes_the_chat_with_it(
    post: Post, acme: Actor, chat: Chat
) -> None:
    do_grant(tenant_id=acme.tenant_id, amount=10)
    reply = post().reply
    post()
    assert reply is not None
    delete_chat(tenant_id=acme.tenant_id, chat_id=chat.id)
    reply.refresh_from_db()
    assert reply.stop_requested
    ended = end(reply, state=Reply.State.STOPPED, cost=4)
    assert (ended.is_owned, ended.status, ended.next_reply) == (True, None, None)
    for model in (Chat, Message, Reply):
        assert not model.objects.for_tenant(acme.tenant_id).exists()
    account = Account.objects.get(tenant_id=acme.tenant_id)
    assert (account.balance, account.reserved) == (6, 0)


def test_a_stop_reaches_only_the_reply_that_runs(post: Post, chat: Chat) -> None:
    first, second = post().reply, post().reply
    assert first is not None
    assert second is not None
    request_stop(tenant_id=chat.tenant_id, chat_id=chat.id, reply_id=second.id)
    request_stop(tenant_id=chat.tenant_id, chat_id=chat.id, reply_id=uuid.uuid4())
    first.refresh_from_db()
    assert not first.stop_requested
    request_stop(tenant_id=chat.tenant_id, chat_id=chat.id)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.stop_requested, second.stop_requested) == (True, False)


def test_a_person_waits_for_the_running_reply_to_end(post: Post, chat: Chat) -> None:
    reply = post().reply
    assert reply is not None
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ESCALATED)
    said = {"tenant_id": chat.tenant_id, "chat_id": chat.id, "content": "Hello, this is Sam", "author_name": "Sam"}
    assert post_person_reply(**said) is None
    end(reply, state=Reply.State.STOPPED)
    message = post_person_reply(**said)
    assert message is not None
    assert (message.sequence, message.metadata) == (3, {"author": "human", "author_name": "Sam"})


@pytest.mark.parametrize("status", [Chat.Status.ACTIVE, Chat.Status.CLOSED])
def test_only_handing_a_chat_to_a_person_stops_its_reply(post: Post, chat: Chat, status: str) -> None:
    reply = post().reply
    assert reply is not None
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=status)
    reply.refresh_from_db()
    assert not reply.stop_requested


# --- Why a person should take over ---


def status_of(chat: Chat) -> tuple[str, str]:
    chat.refresh_from_db()
    return chat.status, chat.escalation_reason


def test_the_reason_of_an_escalation_is_kept(post: Post, chat: Chat) -> None:
    reply = post().reply
    assert reply is not None
    end(reply, escalate="The user asked for a person.")
    assert status_of(chat) == ("escalated", "The user asked for a person.")


def test_a_reply_that_failed_may_escalate(post: Post, chat: Chat) -> None:
    reply = post().reply
    assert reply is not None
    end(reply, state=Reply.State.FAILED, content="", escalate="3 replies in a row without an answer.")
    assert status_of(chat) == ("escalated", "3 replies in a row without an answer.")


def test_a_reason_is_cut_and_cleaned_of_what_no_database_takes(post: Post, chat: Chat) -> None:
    reply = post().reply
    assert reply is not None
    end(reply, escalate=" a\0b\ud800c " + "x" * 10_000)
    _, reason = status_of(chat)
    assert reason.startswith("abc x")
    assert len(reason) == REASON_CHARACTERS


@pytest.mark.parametrize("status", [Chat.Status.ACTIVE, Chat.Status.CLOSED])
def test_the_reason_goes_when_no_person_is_wanted_any_more(post: Post, chat: Chat, status: str) -> None:
    reply = post().reply
    assert reply is not None
    end(reply, escalate="The user asked for a person.")
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=status)
    assert status_of(chat) == (status, "")


def test_staff_who_answer_a_chat_that_waits_leave_the_reason(post: Post, chat: Chat) -> None:
    reply = post().reply
    assert reply is not None
    end(reply, escalate="The user asked for a person.")
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ESCALATED)
    assert status_of(chat) == ("escalated", "The user asked for a person.")


def test_a_chat_that_staff_took_over_has_no_reason_though_its_reply_gave_one(post: Post, chat: Chat) -> None:
    reply = post().reply
    assert reply is not None
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ESCALATED)
    end(reply, escalate="The user asked for a person.")
    assert status_of(chat) == ("escalated", "")
