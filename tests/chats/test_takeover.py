"""A reply whose process is gone is written by another, at most three times in all."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from chats.changes import change_chat
from chats.deletion import delete_chat
from chats.models import Chat, Checkpoint, Message, Reply
from chats.posting import Posted
from chats.takeover import Orphan, Said, adopt, do_checkpoint, find_orphans, hand_over, request_stop, stands
from tenants.models import Tenant
from tests.chats.conftest import die, end

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
    assert find_orphans(process_id=other_process, dead_owners_too=True) == [orphan_of(reply)]
    assert find_orphans(process_id=other_process, dead_owners_too=False) == []


def test_a_process_never_finds_itself_dead(post: Post, process: uuid.UUID) -> None:
    started(post)
    die(process)
    assert find_orphans(process_id=process, dead_owners_too=True) == []


def test_adopting_raises_the_epoch_and_spends_a_try(post: Post, process: uuid.UUID, other_process: uuid.UUID) -> None:
    reply = started(post)
    die(process)
    adopted = adopt(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    assert (adopted.id, adopted.epoch, adopted.tries, adopted.owner_id) == (reply.id, 2, 2, other_process)
    assert not stands(tenant_id=reply.tenant_id, reply_id=reply.id, epoch=1, process_id=process)


def test_one_orphan_is_adopted_once(post: Post, process: uuid.UUID, other_process: uuid.UUID) -> None:
    reply = started(post)
    die(process)
    third = uuid.uuid4()
    assert adopt(orphan=orphan_of(reply), process_id=other_process) is not None
    assert adopt(orphan=orphan_of(reply), process_id=third) is None


def test_the_third_death_ends_the_reply_as_failed_with_what_checkpoints_know(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    Reply.objects.for_tenant(reply.tenant_id).update(tries=3, epoch=3)
    Checkpoint.objects.create(reply=reply, epoch=2, first_piece=0, pieces=["of an older try"])
    Checkpoint.objects.create(reply=reply, epoch=3, first_piece=0, pieces=["It ", "was "])
    Checkpoint.objects.create(reply=reply, epoch=3, first_piece=2, pieces=["late"])
    die(process)
    assert adopt(orphan=orphan_of(reply), process_id=other_process) is None
    message = Message.objects.for_tenant(reply.tenant_id).get(id=reply.id)
    assert message.content == "It was late"
    assert message.metadata["failed"] is True


@pytest.mark.parametrize(("after", "status"), [(1, "escalated"), (2, "active")])
def test_a_third_death_that_is_one_failure_too_many_calls_a_person(
    post: Post, chat: Chat, process: uuid.UUID, other_process: uuid.UUID, after: int, status: str
) -> None:
    Tenant.objects.filter(id=chat.tenant_id).update(escalation_after=after)
    reply = started(post)
    Reply.objects.for_tenant(reply.tenant_id).update(tries=3)
    die(process)
    assert adopt(orphan=orphan_of(reply), process_id=other_process) is None
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
    adopted = adopt(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    assert (adopted.id, adopted.state) == (second.id, Reply.State.RUNNING)


def test_a_stop_asked_of_a_dead_owner_is_carried_out_on_the_last_checkpoint(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    do_checkpoint(process_id=process, said=[Said(reply.id, 1, 0, ["half"])])
    request_stop(tenant_id=reply.tenant_id, chat_id=reply.chat_id)
    die(process)
    assert adopt(orphan=orphan_of(reply), process_id=other_process) is None
    message = Message.objects.for_tenant(reply.tenant_id).get(id=reply.id)
    assert (message.content, message.metadata["stopped"]) == ("half", True)


def test_a_deleted_chat_whose_owner_is_dead_goes_with_the_sweep(
    post: Post, chat: Chat, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    delete_chat(tenant_id=chat.tenant_id, chat_id=chat.id)
    assert Chat.objects.for_tenant(chat.tenant_id).exists()
    die(process)
    adopt(orphan=orphan_of(reply), process_id=other_process)
    assert not Chat.objects.for_tenant(chat.tenant_id).exists()


def test_a_reply_handed_over_waits_with_a_new_epoch_and_no_try_spent(post: Post, other_process: uuid.UUID) -> None:
    reply = started(post)
    hand_over(tenant_id=reply.tenant_id, chat_id=reply.chat_id, reply_id=reply.id, epoch=1)
    reply.refresh_from_db()
    assert (reply.state, reply.epoch, reply.tries, reply.owner_id) == (Reply.State.QUEUED, 2, 0, None)
    assert find_orphans(process_id=other_process, dead_owners_too=False) == [orphan_of(reply)]
    adopted = adopt(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    assert (adopted.state, adopted.epoch, adopted.tries) == (Reply.State.RUNNING, 2, 1)


def test_handing_over_what_another_owns_by_now_does_nothing(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    die(process)
    adopt(orphan=orphan_of(reply), process_id=other_process)
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
    assert adopt(orphan=orphan_of(reply), process_id=other_process) is None
    assert Message.objects.for_tenant(chat.tenant_id).get(id=reply.id).metadata["stopped"] is True


def test_checkpoints_of_what_another_owns_by_now_are_not_kept(
    post: Post, process: uuid.UUID, other_process: uuid.UUID
) -> None:
    reply = started(post)
    die(process)
    adopt(orphan=orphan_of(reply), process_id=other_process)
    do_checkpoint(process_id=process, said=[Said(reply.id, 1, 0, ["late"])])
    assert not Checkpoint.objects.filter(reply=reply).exists()


def test_a_queue_behind_a_running_reply_is_no_orphan(post: Post, other_process: uuid.UUID) -> None:
    started(post)
    started(post)
    assert find_orphans(process_id=other_process, dead_owners_too=False) == []


def test_ending_after_adoption_is_fenced(post: Post, process: uuid.UUID, other_process: uuid.UUID) -> None:
    reply = started(post)
    die(process)
    adopted = adopt(orphan=orphan_of(reply), process_id=other_process)
    assert adopted is not None
    assert not end(reply, content="the zombie's", epoch=1).stands
    assert end(adopted, content="the heir's").stands
    assert Message.objects.for_tenant(reply.tenant_id).get(id=reply.id).content == "the heir's"
