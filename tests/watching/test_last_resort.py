"""What nobody foresaw is answered in the one shape of its door, whatever had begun: code and request id, no more."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from chats.models import Reply
from chats.posting import Draft, post_message
from chats.replies.ending import Outcome, end_reply
from tenants.models import Tenant
from tests.support.actors import Actor, new_actor
from tests.support.client import Socket, read_sse
from tests.support.servers import Server


@pytest.fixture
def acme(watched: Server) -> Actor:
    return new_actor("Acme", base=watched.http, model="builtin")


@pytest.fixture
def broken(acme: Actor) -> str:
    """A conversation whose one reply can not be read, and was not written by the server, which would remember it."""
    conversation = acme.new_conversation()
    with transaction.atomic():
        posted = post_message(
            tenant=Tenant.objects.select_related("account").get(id=acme.tenant_id),
            chat_id=conversation,
            user=None,
            draft=Draft("hello", {}, "once"),
            process_id=None,
        )
        reply = posted.reply
        assert reply is not None
        Reply.objects.for_tenant(acme.tenant_id).filter(id=reply.id).update(state=Reply.State.RUNNING)
        end_reply(
            tenant_id=acme.tenant_id,
            reply_id=reply.id,
            epoch=reply.epoch,
            outcome=Outcome(Reply.State.DONE, "hi"),
            process_id=None,
        )
        with connection.cursor() as cursor:
            written = reply.id if connection.vendor == "postgresql" else reply.id.hex
            cursor.execute("UPDATE chats_message SET metadata = '{' WHERE id = %s", [written])
            assert cursor.rowcount == 1
    return conversation


def test_rest_says_500_and_the_request_id(acme: Actor, broken: str) -> None:
    answer = acme.rest("GET", f"/{broken}/messages", headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "mine")
    assert answer.json()["error_code"] == "INTERNAL_ERROR"
    assert list(answer.json()["details"]) == ["fix"]


def test_a_stream_ends_with_an_error_and_done(acme: Actor, broken: str) -> None:
    again = {"json": {"message": "hello"}, "headers": {"Idempotency-Key": "once"}}
    answer = acme.customer("POST", f"/{broken}/messages", **again)
    assert answer.status_code == 200
    events = [data for _, data in read_sse(answer.content)]
    assert events == [{"type": "error", "message": "Something went wrong on our side"}, "[DONE]"]


async def test_a_socket_is_told_before_it_is_closed(acme: Actor, broken: str) -> None:
    socket = await Socket.open(acme.ws, api_key=acme.tenant_key, user_id="alice", chat_id=broken, after="0")
    assert await socket.closed() == (4500, "INTERNAL_ERROR")
    assert socket.events[-1]["error_code"] == "INTERNAL_ERROR"
