"""Every event, field, error and close code that the AsyncAPI document knows is seen on a real socket, as documented."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from core.db.executor import in_thread
from lexicon.documents.events import EVENTS, SOCKET_ERRORS, close_codes
from tests.documents.contract import check_event, check_frame
from tests.documents.test_http_sessions import until_it_answers
from tests.support.actors import Actor, new_actor
from tests.support.client import Socket
from tests.support.servers import Server
from tests.websocket.conftest import Model, Staff

pytestmark = pytest.mark.usefixtures("closed_sockets")

MIB = 1024 * 1024
SAY = {"say": "one two three", "hold": True, "hold_after": 2}


@dataclass
class Stage:
    """What a session needs."""

    actor: Actor
    model: Model
    staff: Staff
    #: Begins a server of this session's own.
    own_server: Callable[..., Server]

    async def join(self, chat_id: str | None = None, **query: str) -> Socket:
        return await self.actor.join(chat_id or self.actor.new_chat(), **query)

    async def policy(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self.actor.tenant, name, value)
        await in_thread(self.actor.tenant.save)

    async def say(self, socket: Socket, frame: dict[str, Any]) -> None:
        """Send a frame that the document allows."""
        assert check_frame(frame) == []
        await socket.send(frame)


Session = Callable[[Stage], Awaitable[list[Socket]]]


def checked(sockets: list[Socket]) -> list[dict[str, Any]]:
    """All that was told on these sockets, which is as documented."""
    events = [event for socket in sockets for event in socket.events]
    assert events
    for event in events:
        assert check_event(event) == [], event
    return events


# --- Sessions that go well ---


async def ordinary(stage: Stage) -> list[Socket]:
    """A new user talks, rates the reply, says the same thing twice, and asks whether anybody is there."""
    socket = await stage.join(user_id="somebody new")
    message = {"content": "Hello", "metadata": {"a": [1]}, "client_message_id": "m-1"}
    await stage.say(socket, message)
    reply = await socket.until("message_stream_ended")
    for rating in ("up", "down", None):
        await stage.say(socket, {"action": "rate", "message_id": reply["message_id"], "rating": rating})
        await socket.until("message_rated", rating=rating)
    await stage.say(socket, message)
    await socket.until("message_received")
    for name in ("action", "type", "event_type"):
        await stage.say(socket, {name: "ping"})
        await socket.until("pong")
    return [socket]


async def interrupted(stage: Stage) -> list[Socket]:
    """A reply is joined in the middle, and stopped."""
    chat_id = stage.actor.new_chat()
    socket = await stage.join(chat_id)
    await stage.say(socket, {"content": stage.model.script(**SAY)})
    started = await socket.until("message_stream_started")
    await socket.until("message_stream_token")
    joined = await stage.join(chat_id, user_id="bob")
    await joined.until("message_stream_started", resumed=True)
    await stage.say(joined, {"action": "stop", "message_id": started["message_id"]})
    for each in (socket, joined):
        await each.until("message_stream_ended", stopped=True)
    await stage.say(joined, {"action": "stop"})
    return [socket, joined]


async def failing(stage: Stage) -> list[Socket]:
    """A model that fails."""
    socket = await stage.join()
    await stage.say(socket, {"content": stage.model.script(say="one two", fail="cut")})
    await socket.until("message_stream_ended", failed=True)
    return [socket]


async def handed_over(stage: Stage) -> list[Socket]:
    """A person takes the chat over, answers, and hands it back; later somebody asks what they missed."""
    chat_id = stage.actor.new_chat()
    socket = await stage.join(chat_id)
    await socket.say("Hello")
    await in_thread(stage.staff.act, chat_id, text="A person speaks")
    await socket.until("message_stream_ended", author="human")
    await in_thread(stage.staff.act, chat_id, do="active")
    await socket.until("chat_status_changed", status="active")
    back = await stage.join(chat_id, after="0")
    await back.until("replay_ended", complete=True)
    return [socket, back]


async def by_token(stage: Stage) -> list[Socket]:
    """A browser with a chat token, in a chat that is closed and opens again."""
    chat_id = stage.actor.new_chat()
    token = stage.actor.rest("POST", f"/{chat_id}/tokens").json()["token"]
    socket = await Socket.open(stage.actor.ws, token=token)
    await socket.until("connection_established")
    stage.actor.rest("PATCH", f"/{chat_id}", json={"status": "closed"})
    await socket.until("chat_status_changed", status="closed")
    await socket.say("Hello")
    return [socket]


SESSIONS: list[Session] = [ordinary, interrupted, failing, handed_over, by_token]


# --- Errors: each session ends with one, and the socket stays open or is closed ---


async def refused(stage: Stage, path: str = "/ws/chat", **query: str) -> list[Socket]:
    """A socket that is not admitted."""
    given = {"api_key": stage.actor.tenant_key, "user_id": "alice", "chat_id": stage.actor.new_chat()}
    return [await Socket.open(stage.actor.ws, path=path, **given | query)]


async def told(stage: Stage, frame: Any = None) -> list[Socket]:
    """A socket that is open when the error comes."""
    socket = await stage.join()
    await socket.send({"content": "Hello", "client_message_id": "m-1"} if frame is None else frame)
    return [socket]


async def with_policy(stage: Stage, **changes: Any) -> list[Socket]:
    """A socket that is open when the tenant's policy changes."""
    socket = await stage.join()
    await stage.policy(**changes)
    await socket.send({"content": "Hello", "client_message_id": "m-1"})
    return [socket]


async def with_a_full_queue(stage: Stage) -> list[Socket]:
    """A reply is being written, and no further message may wait."""
    await stage.policy(queue_depth=0)
    socket = await stage.join()
    await socket.send({"content": stage.model.script(**SAY)})
    await socket.until("message_stream_token")
    await socket.send({"content": "Hello", "client_message_id": "m-1"})
    return [socket]


async def with_revoked_key(stage: Stage) -> list[Socket]:
    socket = await stage.join()
    await stage.policy(is_active=False)
    await socket.send({"content": "Hello"})
    return [socket]


async def deleted(stage: Stage) -> list[Socket]:
    chat_id = stage.actor.new_chat()
    socket = await stage.join(chat_id)
    stage.actor.rest("DELETE", f"/{chat_id}?force=true")
    return [socket]


async def without_room(stage: Stage) -> list[Socket]:
    await stage.policy(ws_connections=0)
    return await refused(stage)


async def too_fast(stage: Stage) -> list[Socket]:
    await stage.policy(ws_messages_per_second=0)
    return await told(stage)


async def spoiled(stage: Stage) -> list[Socket]:
    """The chat's row is as no code of ours writes it."""
    chat_id = stage.actor.new_chat()

    def spoil() -> None:
        known = chat_id if connection.vendor == "postgresql" else chat_id.replace("-", "")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE chats_chat SET metadata = 'not json' WHERE id = %s", [known])

    await in_thread(spoil)
    return await refused(stage, chat_id=chat_id)


async def without_database(stage: Stage) -> list[Socket]:
    """A server whose database was never made."""
    server = await asyncio.to_thread(stage.own_server, migrated=False)
    return [await Socket.open(server.ws, user_id="alice")]


async def stopping(stage: Stage) -> list[Socket]:
    server = await asyncio.to_thread(stage.own_server)
    actor = await in_thread(new_actor, "Acme", base=stage.actor.base)
    actor.base = server.http
    socket = await actor.join(actor.new_chat())
    assert server.process is not None
    server.process.terminate()
    return [socket]


#: How each error comes about, and the close code that follows; None where the socket stays open.
ERRORS: list[tuple[str, int | None, Session]] = [
    ("AUTH_ERROR", 4401, lambda stage: refused(stage, api_key="lxt_unknown")),
    ("AUTH_ERROR", 4401, lambda stage: refused(stage, user_id="")),
    ("AUTH_ERROR", 4401, with_revoked_key),
    ("WRONG_KEY_TYPE", 4403, lambda stage: refused(stage, api_key=stage.actor.customer_key)),
    ("CHAT_NOT_FOUND", 4404, lambda stage: refused(stage, chat_id="nothing")),
    ("NOT_FOUND", 4404, lambda stage: refused(stage, path="/ws/other")),
    ("INVALID_REQUEST", 4400, lambda stage: refused(stage, chat_id="")),
    ("INVALID_REQUEST", 4400, lambda stage: refused(stage, after="x")),
    ("INVALID_REQUEST", None, lambda stage: told(stage, {"content": "", "client_message_id": "m-1"})),
    ("INVALID_REQUEST", None, lambda stage: told(stage, "no JSON")),
    ("INVALID_REQUEST", None, lambda stage: told(stage, b"binary")),
    ("CONNECTION_LIMIT_EXCEEDED", 4429, without_room),
    ("CHAT_DELETED", 4410, deleted),
    ("SERVICE_UNAVAILABLE", 1013, without_database),
    ("INTERNAL_ERROR", 4500, spoiled),
    ("RATE_LIMIT_EXCEEDED", None, too_fast),
    ("RATE_LIMIT_EXCEEDED", None, with_a_full_queue),
    ("MESSAGE_TOO_LONG", None, lambda stage: with_policy(stage, message_max_characters=1)),
    ("MESSAGE_LIMIT_REACHED", None, lambda stage: with_policy(stage, message_limit=0)),
    ("PAYMENT_REQUIRED", None, lambda stage: with_policy(stage, subscription_active=False)),
    ("AGENT_ERROR", None, lambda stage: told(stage, {"content": stage.model.script(say="one two", fail="cut")})),
]
#: Closed without an error event.
CLOSES: list[tuple[int, Session]] = [
    (1009, lambda stage: told(stage, json.dumps({"content": "Hello"}) + " " * MIB)),
    (1012, stopping),
]


@pytest.fixture
def stage(acme: Actor, model: Model, staff: Staff, server: Server, tmp_path: Path) -> Any:
    begun: list[Server] = []

    def own_server(*, migrated: bool = True) -> Server:
        url = server.env["DATABASE_URL"] if migrated else f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        own = Server(database_url=url, log=tmp_path / "own.log")
        begun.append(own)
        own.start(wait=migrated)
        until_it_answers(own)
        return own

    yield Stage(acme, model, staff, own_server)
    model.release()
    for own in begun:
        own.close()


@pytest.mark.parametrize("session", SESSIONS)
async def test_all_that_is_told_in_a_session_is_as_documented(stage: Stage, session: Session) -> None:
    checked(await session(stage))


async def test_the_sessions_show_every_event_and_field_that_is_documented(stage: Stage) -> None:
    events = [event for session in SESSIONS for socket in await session(stage) for event in socket.events]
    shown = {(event["event_type"], name) for event in events for name in event} - {("error", "fields")}
    described = {
        (name, part)
        for name, (_, required, optional) in EVENTS.items()
        for part in ("event_type", "timestamp", *required, *optional)
    }
    assert shown == described


@pytest.mark.parametrize(("code", "close", "session"), ERRORS)
async def test_an_error_is_told_and_the_socket_closed_as_documented(
    stage: Stage, code: str, close: int | None, session: Session
) -> None:
    [socket] = await session(stage)
    await socket.until("error", error_code=code)
    checked([socket])
    if close is None:
        await (await socket.connection.ping())
        assert socket.connection.close_code is None
        return
    assert await socket.closed() == (close, code)
    assert code in close_codes()[close]


@pytest.mark.parametrize(("close", "session"), CLOSES)
async def test_a_socket_that_is_closed_without_a_word_has_a_documented_code(
    stage: Stage, close: int, session: Session
) -> None:
    [socket] = await session(stage)
    assert (await socket.closed())[0] == close
    checked([socket])
    assert close in close_codes()


def test_every_error_and_close_code_that_is_documented_is_shown_here() -> None:
    # uvicorn closes with 1009 where daphne tells PAYLOAD_TOO_LARGE; what is not UTF-8, and control frames without end,
    # are the protocol's.
    codes = {code for code, _, _ in ERRORS} | {"PAYLOAD_TOO_LARGE"}
    assert codes == {kind.code for kind in SOCKET_ERRORS}
    closes = {close for _, close, _ in ERRORS if close} | {close for close, _ in CLOSES} | {1007, 1008}
    assert closes == set(close_codes())
