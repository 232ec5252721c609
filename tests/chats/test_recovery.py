"""A reply whose process is gone is written by another, at most three times in all, and twice where both die at once."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chats.changes import change_chat
from chats.chats import do_create_chat
from chats.deletion import delete_chat
from chats.models import Chat, Checkpoint, Message, Process, Reply
from chats.posting import Draft, Posted, post_message
from chats.replies.handover import hand_over
from chats.replies.leases import do_retire
from chats.replies.recovery import CheckpointDelta, Orphan, adopt_orphan, do_checkpoint, find_orphans, still_owns
from chats.replies.stopping import request_stop
from core.observability import metrics
from tenants.credits import do_grant
from tenants.models import Account, CreditEntry, Tenant
from tests.chats.conftest import die, end
from tests.support.actors import Actor

Post = Callable[..., Posted]


def orphan_of(reply: Reply) -> Orphan:
    return Orphan(reply.tenant_id, reply.chat_id, reply.id)


def started(post: Post) -> Reply:
    reply = post().reply
    assert reply is not None
    return reply


def test_a_reply_of_a_living_process_is_no_orphan(post: Post, other_process: uuid.UUID) -> None:
    started(post)
    assert find_orphans(process_id=other_process, dead_owners_too=True) == []


def test_a_reply_of_a_dead_process_is_found_by_the_others(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    die(process)
    assert find_orphans(process_id=other_process, dead_owners_too=True) == [replace(orphan_of(reply), is_suspect=True)]
    assert find_orphans(process_id=other_process, dead_owners_too=False) == []


def test_a_process_never_finds_itself_dead(post: Post, process: uuid.UUID) -> None:
    started(post)
    die(process)
    assert find_orphans(process_id=process, dead_owners_too=True) == []


def test_adopting_raises_the_epoch_and_spends_a_try(post: Post, process: uuid.UUID, other_process: uuid.UUID) -> None:
    reply = started(post)
    die(process)
    adopted = adopt_orphan(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    assert (adopted.id, adopted.epoch, adopted.tries, adopted.owner_id) == (reply.id, 2, 2, other_process)
    assert not still_owns(tenant_id=reply.tenant_id, reply_id=reply.id, epoch=1, process_id=process)


def test_one_orphan_is_adopted_once(post: Post, process: uuid.UUID, other_process: uuid.UUID) -> None:
    reply = started(post)
    die(process)
    third = uuid.uuid4()
    assert adopt_orphan(orphan=orphan_of(reply), process_id=other_process) is not None
    assert adopt_orphan(orphan=orphan_of(reply), process_id=third) is None


def test_the_third_death_ends_the_reply_as_failed_with_what_checkpoints_know(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    Reply.objects.for_tenant(reply.tenant_id).update(tries=3, epoch=3)
    Checkpoint.objects.create(reply=reply, epoch=2, first_piece=0, pieces=["of an older try"])
    Checkpoint.objects.create(reply=reply, epoch=3, first_piece=0, pieces=["It ", "was "])
    Checkpoint.objects.create(reply=reply, epoch=3, first_piece=2, pieces=["late"])
    die(process)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=other_process) is None
    message = Message.objects.for_tenant(reply.tenant_id).get(id=reply.id)
    assert message.content == "It was late"
    assert (message.metadata["failed"], message.metadata["finish_reason"]) == (True, "abandoned")


# --- Two owners that fall silent one soon after the other ---


def fall_silent_twice(reply: Reply, first: uuid.UUID, second: uuid.UUID, *, apart: float = 8.0) -> Reply | None:
    """The reply's owner falls silent, so many seconds later the next one; what a third process adopts then."""
    die(first)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=second) is not None
    die(second, after=apart)
    return adopt_orphan(orphan=orphan_of(reply), process_id=Process.objects.create().id)


@pytest.mark.parametrize("apart", [0.0, 8.0, 50.0])
def test_two_owners_silent_within_a_minute_end_the_reply_with_what_checkpoints_know(
    post: Post, process: uuid.UUID, other_process: uuid.UUID, apart: float
) -> None:
    reply = started(post)
    Checkpoint.objects.create(reply=reply, epoch=1, first_piece=0, pieces=["of the ", "first try"])
    Checkpoint.objects.create(reply=reply, epoch=2, first_piece=0, pieces=["of the second"])
    assert fall_silent_twice(reply, process, other_process, apart=apart) is None
    message = Message.objects.for_tenant(reply.tenant_id).get(id=reply.id)
    assert (message.content, message.sequence) == ("of the second", 2)
    assert (message.metadata["failed"], message.metadata["finish_reason"]) == (True, "abandoned")
    reply.refresh_from_db()
    assert (reply.state, reply.tries) == (Reply.State.FAILED, 2)


def test_two_owners_silent_more_than_a_minute_apart_leave_it_a_third_try(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    adopted = fall_silent_twice(started(post), process, other_process, apart=61)
    assert adopted is not None
    assert (adopted.state, adopted.tries) == (Reply.State.RUNNING, 3)


def test_the_last_two_silences_count(post: Post, process: uuid.UUID, other_process: uuid.UUID) -> None:
    reply = started(post)
    adopted = fall_silent_twice(reply, process, other_process, apart=120)
    assert adopted is not None
    assert adopted.owner_id is not None
    die(adopted.owner_id, after=130)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=Process.objects.create().id) is None


def test_who_stops_in_good_order_did_not_fall_silent(post: Post, process: uuid.UUID, other_process: uuid.UUID) -> None:
    reply = started(post)
    die(process)
    adopted = adopt_orphan(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    hand_over(tenant_id=reply.tenant_id, chat_id=reply.chat_id, reply_id=reply.id, epoch=adopted.epoch)
    third, fourth = (Process.objects.create().id for _ in range(2))
    again = adopt_orphan(orphan=orphan_of(reply), process_id=third)
    assert again is not None
    assert (again.state, again.tries) == (Reply.State.RUNNING, 2)
    # But the one that comes after it is the second.
    die(third, after=30)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=fourth) is None


def test_a_process_that_left_without_handing_over_did_not_fall_silent(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    die(process)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=other_process) is not None
    do_retire(other_process)
    again = adopt_orphan(orphan=orphan_of(reply), process_id=Process.objects.create().id)
    assert again is not None
    assert again.tries == 3


def test_an_owner_that_beats_again_later_fell_silent_when_it_did(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    """It was frozen, and lives by the time that the next one falls silent."""
    reply = started(post)
    die(process)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=other_process) is not None
    Process.objects.filter(id=process).update(beat_at=timezone.now())
    die(other_process, after=8)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=process) is None
    assert Message.objects.for_tenant(reply.tenant_id).get(id=reply.id).metadata["finish_reason"] == "abandoned"


def test_an_abandoned_reply_is_charged_once_for_what_checkpoints_know(
    post: Post, chat: Chat, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    do_grant(tenant_id=chat.tenant_id, amount=100)
    reply = started(post)
    Checkpoint.objects.create(reply=reply, epoch=2, first_piece=0, pieces=["nine char"])
    fall_silent_twice(reply, process, other_process)
    account = Account.objects.get(tenant_id=chat.tenant_id)
    assert (account.balance, account.reserved) == (97, 0)
    entries = CreditEntry.objects.for_tenant(chat.tenant_id).filter(reason="reply")
    assert [entry.amount for entry in entries] == [-3]


def test_an_abandoned_reply_is_counted_and_logged_by_its_ids(
    post: Post,
    process: uuid.UUID,
    other_process: uuid.UUID,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    before = metrics.ABANDONED._value.get()
    reply = started(post)
    with django_capture_on_commit_callbacks(execute=True), caplog.at_level(logging.WARNING):
        fall_silent_twice(reply, process, other_process)
    assert metrics.ABANDONED._value.get() == before + 1
    [record] = [record for record in caplog.records if "abandoned" in record.message]
    assert (record.levelno, record.fields["reply_id"], record.fields["tries"]) == (logging.WARNING, str(reply.id), 2)  # type: ignore[attr-defined]


def test_the_reply_begun_last_is_adopted_first_and_those_that_wait_before_it(
    acme: Actor, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    replies = []
    for minutes in (2, 3, 1):
        chat = do_create_chat(tenant_id=acme.tenant_id, user_id="alice", metadata={})
        posted = post_message(
            tenant=Tenant.objects.select_related("account").get(id=acme.tenant_id),
            chat_id=chat.id,
            user=chat.user,
            draft=Draft("hello", {}, None),
            process_id=process if minutes != 3 else None,
        )
        assert posted.reply is not None
        replies.append(posted.reply)
        Reply.objects.for_tenant(acme.tenant_id).filter(id=posted.reply.id).exclude(started_at=None).update(
            started_at=timezone.now() - timedelta(minutes=minutes)
        )
    die(process)
    two, waiting, one = map(orphan_of, replies)
    assert find_orphans(process_id=other_process, dead_owners_too=True) == [
        waiting,
        replace(one, is_suspect=True),
        replace(two, is_suspect=True),
    ]


# --- How it goes on ---


@pytest.mark.parametrize(("after", "status"), [(1, "escalated"), (2, "active")])
def test_a_third_death_that_is_one_failure_too_many_calls_a_person(
    post: Post, chat: Chat, process: uuid.UUID, other_process: uuid.UUID, after: int, status: str
) -> None:
    Tenant.objects.filter(id=chat.tenant_id).update(escalation_after=after)
    reply = started(post)
    Reply.objects.for_tenant(reply.tenant_id).update(tries=3)
    die(process)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=other_process) is None
    chat.refresh_from_db()
    assert chat.status == status
    message = Message.objects.for_tenant(reply.tenant_id).get(id=reply.id)
    assert message.metadata.get("escalated", False) is (status == "escalated")


def test_the_reply_after_one_that_died_thrice_is_answered(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply, second = started(post), started(post)
    Reply.objects.for_tenant(reply.tenant_id).filter(id=reply.id).update(tries=3)
    die(process)
    adopted = adopt_orphan(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    assert (adopted.id, adopted.state) == (second.id, Reply.State.RUNNING)


def test_a_stop_asked_of_a_dead_owner_is_carried_out_on_the_last_checkpoint(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    do_checkpoint(process_id=process, said=[CheckpointDelta(reply.id, 1, 0, ["half"])])
    request_stop(tenant_id=reply.tenant_id, chat_id=reply.chat_id)
    die(process)
    assert adopt_orphan(orphan=orphan_of(reply), process_id=other_process) is None
    message = Message.objects.for_tenant(reply.tenant_id).get(id=reply.id)
    assert (message.content, message.metadata["stopped"]) == ("half", True)


def test_a_deleted_chat_whose_owner_is_dead_goes_with_the_sweep(
    post: Post, chat: Chat, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    delete_chat(tenant_id=chat.tenant_id, chat_id=chat.id)
    assert Chat.objects.for_tenant(chat.tenant_id).exists()
    die(process)
    adopt_orphan(orphan=orphan_of(reply), process_id=other_process)
    assert not Chat.objects.for_tenant(chat.tenant_id).exists()


def test_a_reply_handed_over_waits_with_a_new_epoch_and_no_try_spent(post: Post, other_process: uuid.UUID) -> None:
    reply = started(post)
    hand_over(tenant_id=reply.tenant_id, chat_id=reply.chat_id, reply_id=reply.id, epoch=1)
    reply.refresh_from_db()
    assert (reply.state, reply.epoch, reply.tries, reply.owner_id) == (Reply.State.QUEUED, 2, 0, None)
    assert find_orphans(process_id=other_process, dead_owners_too=False) == [orphan_of(reply)]
    adopted = adopt_orphan(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    assert (adopted.state, adopted.epoch, adopted.tries) == (Reply.State.RUNNING, 2, 1)


def test_handing_over_what_another_owns_by_now_does_nothing(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    die(process)
    adopt_orphan(orphan=orphan_of(reply), process_id=other_process)
    hand_over(tenant_id=reply.tenant_id, chat_id=reply.chat_id, reply_id=reply.id, epoch=1)
    reply.refresh_from_db()
    assert (reply.state, reply.owner_id) == (Reply.State.RUNNING, other_process)


def test_a_reply_that_began_before_it_was_handed_over_ends_as_stopped_when_its_chat_is_escalated(
    post: Post, chat: Chat, other_process: uuid.UUID
) -> None:
    reply, second = started(post), started(post)
    hand_over(tenant_id=reply.tenant_id, chat_id=reply.chat_id, reply_id=reply.id, epoch=1)
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.ESCALATED)
    second.refresh_from_db()
    assert second.state == Reply.State.DROPPED
    reply.refresh_from_db()
    assert adopt_orphan(orphan=orphan_of(reply), process_id=other_process) is None
    assert Message.objects.for_tenant(chat.tenant_id).get(id=reply.id).metadata["stopped"] is True


def test_checkpoints_of_what_another_owns_by_now_are_not_kept(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    die(process)
    adopt_orphan(orphan=orphan_of(reply), process_id=other_process)
    do_checkpoint(process_id=process, said=[CheckpointDelta(reply.id, 1, 0, ["late"])])
    assert not Checkpoint.objects.filter(reply=reply).exists()


def test_a_queue_behind_a_running_reply_is_no_orphan(post: Post, other_process: uuid.UUID) -> None:
    started(post)
    started(post)
    assert find_orphans(process_id=other_process, dead_owners_too=False) == []


def test_ending_after_adoption_is_fenced(post: Post, process: uuid.UUID, other_process: uuid.UUID) -> None:
    reply = started(post)
    die(process)
    adopted = adopt_orphan(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    assert not end(reply, content="the zombie's", epoch=1).is_owned
    assert end(adopted, content="the heir's").is_owned
    assert Message.objects.for_tenant(reply.tenant_id).get(id=reply.id).content == "the heir's"
