"""A process that slept through its lease stores nothing, and nobody hears it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from chats.models import Reply
from lexicon.database import in_thread
from tests.cast import Actor
from tests.client import Socket
from tests.faults.test_killed import all_said, begin
from tests.servers import Server

NewServer = Callable[..., Server]


async def test_a_process_that_wakes_after_its_lease_stores_nothing(acme: Actor, new_server: NewServer) -> None:
    sleeper = await in_thread(new_server)
    acme.base = sleeper.http
    chat, _ = await begin(sleeper, acme)
    heir = await in_thread(new_server)
    sleeper.signal(signal.SIGSTOP)
    acme.base = heir.http
    socket = await Socket.open(heir.ws, api_key=acme.tenant_key, user_id="alice", chat_id=chat)
    ended = await socket.until("message_stream_ended")
    sleeper.signal(signal.SIGCONT)
    assert await asyncio.to_thread(sleeper.terminate) == 0
    _, reply = await all_said(acme, chat, 2)
    assert (reply["id"], reply["content"]) == (ended["message_id"], ended["content"])
    stored = await in_thread(lambda: Reply.objects.for_tenant(acme.tenant_id).get())
    assert (stored.state, stored.tries, stored.epoch) == (Reply.State.DONE, 2, 2)


async def test_after_the_new_trys_start_no_socket_of_the_sleeper_hears_the_old_one(
    acme: Actor, new_server: NewServer
) -> None:
    sleeper = await in_thread(new_server)
    acme.base = sleeper.http
    chat, socket = await begin(sleeper, acme)
    heir = await in_thread(new_server)
    sleeper.signal(signal.SIGSTOP)
    acme.base = heir.http
    _, reply = await all_said(acme, chat, 2)
    sleeper.signal(signal.SIGCONT)
    ended = await socket.until("message_stream_ended")
    starts = [index for index, event in enumerate(socket.events) if event["event_type"] == "message_stream_started"]
    told = [event for event in socket.events[starts[-1] :] if event["event_type"] == "message_stream_token"]
    assert "".join(event["token"] for event in told) == ended["content"] == reply["content"]
    offset = 0
    for event in told:
        assert event["offset"] == offset
        offset += len(event["token"])
