"""A message is accepted once, in order, with what is owed for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chats.changes import change_chat
from chats.chats import do_create_chat
from chats.models import Chat, Message, Reply
from chats.posting import Posted
from core.errors import ApiError
from tenants.credits import do_grant
from tenants.models import Account, Tenant
from tests.chats.conftest import end
from tests.support.actors import Actor

Post = Callable[..., Posted]


def test_the_first_message_starts_its_reply_in_the_process_that_took_it(post: Post, process: object) -> None:
    reply = post().reply
    assert reply is not None
    assert (reply.state, reply.owner_id, reply.tries, reply.epoch) == (Reply.State.RUNNING, process, 1, 1)


def test_a_second_message_waits(post: Post) -> None:
    post()
    reply = post().reply
    assert reply is not None
    assert (reply.state, reply.owner_id, reply.tries) == (Reply.State.QUEUED, None, 0)


def test_sequences_have_no_gap_and_replies_take_theirs_when_they_end(post: Post, chat: Chat) -> None:
    first = post("one").reply
    post("two")
    assert first is not None
    end(first)
    found = Message.objects.for_tenant(chat.tenant_id).filter(chat=chat).order_by("sequence")
    assert list(found.values_list("sequence", "role", "content")) == [
        (1, "user", "one"),
        (2, "user", "two"),
        (3, "assistant", "said"),
    ]


def test_a_repeat_is_the_same_message_and_the_same_reply(post: Post, chat: Chat) -> None:
    first = post("one", client_message_id="c1")
    again = post("one", client_message_id="c1")
    assert again.repeated
    assert (again.message.id, again.reply) == (first.message.id, first.reply)
    assert Message.objects.for_tenant(chat.tenant_id).count() == 1


def test_the_order_of_metadata_keys_makes_no_other_message(post: Post) -> None:
    post(client_message_id="c1", metadata={"a": 1, "b": {"c": 2, "d": 3}})
    assert post(client_message_id="c1", metadata={"b": {"d": 3, "c": 2}, "a": 1}).repeated


@pytest.mark.parametrize("other", [{"content": "two"}, {"metadata": {"a": 1}}])
def test_a_repeat_with_other_content_or_metadata_is_refused(post: Post, other: dict[str, object]) -> None:
    post("one", client_message_id="c1")
    with pytest.raises(ApiError) as refused:
        post(**{"content": "one", "client_message_id": "c1", **other})
    assert refused.value.kind.code == "INVALID_REQUEST"
    assert refused.value.fields == {"client_message_id": "was used for a message with other content or metadata"}


def test_a_repeat_is_answered_before_any_limit_is_looked_at(post: Post, acme: Actor) -> None:
    post("one", client_message_id="c1")
    Tenant.objects.filter(id=acme.tenant_id).update(
        message_max_characters=1, message_limit=0, queue_depth=0, subscription_active=False
    )
    assert post("one", client_message_id="c1").repeated


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"message_max_characters": 4}, "MESSAGE_TOO_LONG"),
        ({"message_limit": 0}, "MESSAGE_LIMIT_REACHED"),
        ({"subscription_active": False}, "PAYMENT_REQUIRED"),
    ],
)
def test_a_message_beyond_a_limit_is_refused_and_not_stored(
    post: Post, acme: Actor, policy: dict[str, object], code: str
) -> None:
    Tenant.objects.filter(id=acme.tenant_id).update(**policy)
    with pytest.raises(ApiError) as refused:
        post("hello")
    assert refused.value.kind.code == code
    assert not Message.objects.for_tenant(acme.tenant_id).exists()


def test_no_more_than_the_queue_holds_may_wait(post: Post, acme: Actor) -> None:
    Tenant.objects.filter(id=acme.tenant_id).update(queue_depth=2)
    for _ in range(3):
        post()
    with pytest.raises(ApiError) as refused:
        post()
    assert refused.value.kind.code == "RATE_LIMIT_EXCEEDED"


def test_a_tenant_whose_queue_holds_nothing_still_has_one_reply_at_a_time(post: Post, acme: Actor) -> None:
    Tenant.objects.filter(id=acme.tenant_id).update(queue_depth=0)
    reply = post().reply
    assert reply is not None
    assert reply.state == Reply.State.RUNNING


def test_two_hundred_messages_are_the_limit_of_a_conversation_and_not_of_a_chat(post: Post, chat: Chat) -> None:
    Chat.objects.for_tenant(chat.tenant_id).update(user_message_count=200)
    assert post().message.sequence == 1
    Chat.objects.for_tenant(chat.tenant_id).update(is_conversation=True)
    with pytest.raises(ApiError) as refused:
        post()
    assert refused.value.kind.code == "MESSAGE_LIMIT_REACHED"


def test_the_first_message_names_a_chat_without_a_title(post: Post, chat: Chat) -> None:
    assert chat.heading == "New chat"
    post("x" * 70)
    post("second")
    chat.refresh_from_db()
    assert chat.heading == "x" * 60


def test_a_given_title_stays(post: Post, chat: Chat) -> None:
    Chat.objects.for_tenant(chat.tenant_id).update(title="Order 7")
    post("hello")
    chat.refresh_from_db()
    assert chat.heading == "Order 7"


def test_a_message_reserves_one_credit_of_a_metered_tenant(post: Post, acme: Actor) -> None:
    do_grant(tenant_id=acme.tenant_id, amount=2)
    post()
    post()
    account = Account.objects.get(tenant_id=acme.tenant_id)
    assert (account.balance, account.reserved) == (2, 2)
    with pytest.raises(ApiError) as refused:
        post()
    assert refused.value.kind.code == "PAYMENT_REQUIRED"


def test_an_escalated_chat_takes_messages_without_reply_or_credit(post: Post, acme: Actor, chat: Chat) -> None:
    do_grant(tenant_id=acme.tenant_id, amount=1)
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status=Chat.Status.ESCALATED)
    assert post().reply is None
    assert Account.objects.get(tenant_id=acme.tenant_id).reserved == 0


def test_a_message_to_a_closed_chat_opens_it(post: Post, chat: Chat) -> None:
    change_chat(tenant_id=chat.tenant_id, chat_id=chat.id, status=Chat.Status.CLOSED)
    assert post().reply is not None
    chat.refresh_from_db()
    assert chat.status == Chat.Status.ACTIVE


def test_another_users_client_message_id_is_another_message(post: Post, chat: Chat, acme: Actor) -> None:
    first = post("one", client_message_id="c1")
    chat.user = do_create_chat(tenant_id=acme.tenant_id, user_id="bob", metadata={}).user
    assert post("one", client_message_id="c1").message.id != first.message.id
