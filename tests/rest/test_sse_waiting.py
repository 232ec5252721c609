"""What keeps a stream open while nothing is said, and while others are answered first.

Not on daphne, which sends the headers of an answer only with the first bytes of its body.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from chats.changes import change_chat
from chats.models import Message
from core.db.executor import in_thread
from tests.conftest import database_url
from tests.rest.wire import UUID, assert_refused, held, posted, said_by
from tests.support.actors import Actor
from tests.support.client import script
from tests.support.servers import Server


@pytest.fixture(scope="module")
def quick_server(pristine: str, model_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that does not let 15 seconds pass before it says that it is still there."""
    server = Server(
        database_url=database_url(str(settings.DATABASES["default"]["NAME"])),
        log=tmp_path_factory.mktemp("quick") / "server.log",
        OPENAI_BASE_URL=model_server,
        OPENAI_API_KEY="key-of-the-tests",
        PING_SECONDS="0.2",
    )
    yield server.start()
    server.close()


@pytest.fixture
def server(quick_server: Server) -> Server:
    """The quick one."""
    return quick_server


def test_silence_is_15_seconds_long_where_nothing_else_is_said() -> None:
    assert settings.PING_SECONDS == 15


async def test_in_silence_a_comment_says_that_the_server_is_there(acme: Actor, release: Callable[[str], None]) -> None:
    conversation_id = acme.new_conversation()
    async with posted(acme, conversation_id, held("one two", conversation_id)) as stream:
        await stream.until_said("one")
        assert [await stream.write() for _ in range(3)] == [b": ping\n\n"] * 3
        release(conversation_id)
        events = await stream.finish()
    assert said_by(events) == "one two"
    assert [write for write in stream.writes if write.startswith(b":") and write != b": ping\n\n"] == []


async def test_a_post_that_waits_its_turn_streams_comments_and_then_only_its_own_reply(
    acme: Actor, release: Callable[[str], None]
) -> None:
    conversation_id = acme.new_conversation()
    async with posted(acme, conversation_id, held("first reply", conversation_id)) as first:
        await first.until_said("first")
        async with posted(acme, conversation_id, "second") as second:
            assert second.status == 200
            assert UUID.fullmatch(second.headers["x-message-id"])
            assert [await second.write() for _ in range(3)] == [b": ping\n\n"] * 3
            release(conversation_id)
            assert said_by(await first.finish()) == "first reply"
            assert said_by(await second.finish()) == "You said: second"
            ids = [write for write in second.writes if write.startswith(b"id: ")]
            assert ids[0].startswith(b"id: 1\n")


async def test_the_message_its_header_names_is_committed_before_the_reply(
    acme: Actor, release: Callable[[str], None]
) -> None:
    conversation_id = acme.new_conversation()
    message = script(say="later", hold=conversation_id, hold_after=0)
    async with posted(acme, conversation_id, message) as stream:
        stored = await in_thread(Message.objects.for_tenant(acme.tenant_id).get, id=stream.headers["x-message-id"])
        assert (stored.content, stored.role, str(stored.chat_id)) == (message, "user", conversation_id)
        release(conversation_id)
        await stream.finish()


async def test_more_posts_than_may_wait_are_refused_before_any_stream(
    live: Callable[..., Actor], release: Callable[[str], None]
) -> None:
    acme = await in_thread(live, "Acme", model="openai:test", queue_depth=1)
    conversation_id = acme.new_conversation()
    async with (
        posted(acme, conversation_id, held("x y", conversation_id)) as first,
        posted(acme, conversation_id, "second") as second,
    ):
        answer = acme.customer("POST", f"/{conversation_id}/messages", json={"message": "third"})
        assert_refused(answer, 429, "RATE_LIMIT_EXCEEDED", face="customer")
        assert int(answer.headers["Retry-After"]) >= 1
        release(conversation_id)
        await first.finish()
        assert said_by(await second.finish()) == "You said: second"
    assert acme.rest("GET", f"/{conversation_id}").json()["message_count"] == 4


async def test_a_post_that_waits_when_it_is_escalated_gets_the_status_and_no_reply(acme: Actor) -> None:
    conversation_id = acme.new_conversation()
    async with posted(acme, conversation_id, held("one two", conversation_id)) as first:
        await first.until_said("one")
        async with posted(acme, conversation_id, "second") as second:
            await in_thread(
                change_chat, tenant_id=acme.tenant_id, chat_id=uuid.UUID(conversation_id), status="escalated"
            )
            assert (await first.finish())[-1] == "[DONE]"
            assert await second.finish() == [{"type": "status", "status": "escalated"}, "[DONE]"]
