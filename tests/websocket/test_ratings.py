"""What its reader thinks of a reply: said on a socket or over REST, kept, and told with the reply from then on."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.actors import Actor
from tests.support.client import Socket, script
from tests.websocket.conftest import Staff, history


async def answered(actor: Actor, chat_id: str) -> tuple[Socket, str]:
    """A socket that has read a reply, and the reply's id."""
    socket = await actor.join(chat_id)
    return socket, (await socket.say("Hello"))["message_id"]


async def rate(socket: Socket, message_id: str, rating: str | None) -> dict[str, Any]:
    await socket.send({"action": "rate", "message_id": message_id, "rating": rating})
    return await socket.until("message_rated")


async def test_a_rating_is_told_with_the_reply_from_then_on(acme: Actor) -> None:
    chat_id = acme.new_chat()
    socket, reply_id = await answered(acme, chat_id)
    for rating in ("down", "up"):
        rated = await rate(socket, reply_id, rating)
        assert (rated["chat_id"], rated["message_id"], rated["rating"]) == (chat_id, reply_id, rating)
        assert history(acme, chat_id)[1]["metadata"]["rating"] == rating
        back = await acme.join(chat_id, after="0")
        assert (await back.until("message_stream_ended"))["metadata"]["rating"] == rating


async def test_a_rating_can_be_taken_back(acme: Actor) -> None:
    chat_id = acme.new_chat()
    socket, reply_id = await answered(acme, chat_id)
    await rate(socket, reply_id, "up")
    assert (await rate(socket, reply_id, None))["rating"] is None
    assert "rating" not in history(acme, chat_id)[1]["metadata"]


async def test_a_rating_changes_nothing_of_the_chat_and_is_told_to_nobody_else(acme: Actor) -> None:
    chat_id = acme.new_chat()
    socket, reply_id = await answered(acme, chat_id)
    other = await acme.join(chat_id, "bob")
    await other.quiet()
    before = acme.rest("GET", f"/{chat_id}").json()
    await rate(socket, reply_id, "down")
    assert acme.rest("GET", f"/{chat_id}").json() == before
    assert await other.quiet() == []


async def test_a_backend_rates_over_rest(acme: Actor) -> None:
    chat_id = acme.new_chat()
    _, reply_id = await answered(acme, chat_id)
    answer = acme.rest("PATCH", f"/{chat_id}/messages/{reply_id}", json={"rating": "up"})
    assert answer.status_code == 200
    assert answer.json() == history(acme, chat_id)[1]
    assert answer.json()["metadata"]["rating"] == "up"


Find = Callable[[Actor, str, dict[str, Any]], str]
OTHERS: dict[str, Find] = {
    "a user's message": lambda acme, chat_id, ended: ended["reply_to"],
    "nothing": lambda acme, chat_id, ended: str(uuid.uuid4()),
    "no id": lambda acme, chat_id, ended: "x",
}


@pytest.mark.parametrize("what", OTHERS)
async def test_only_a_reply_of_the_agent_is_rated(acme: Actor, what: str) -> None:
    chat_id = acme.new_chat()
    socket = await acme.join(chat_id)
    message_id = OTHERS[what](acme, chat_id, await socket.say("Hello"))
    await socket.send({"action": "rate", "message_id": message_id, "rating": "up"})
    assert list((await socket.until("error"))["details"]["fields"]) == ["message_id"]
    answer = acme.rest("PATCH", f"/{chat_id}/messages/{message_id}", json={"rating": "up"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_REQUEST")


async def test_a_persons_reply_is_not_rated(acme: Actor, staff: Staff) -> None:
    chat_id = acme.new_chat()
    socket = await acme.join(chat_id)
    staff.act(chat_id, text="Here I am")
    said = await socket.until("message_stream_ended", author="human")
    await socket.send({"action": "rate", "message_id": said["message_id"], "rating": "up"})
    assert (await socket.until("error"))["error_code"] == "INVALID_REQUEST"


async def test_a_reply_of_another_chat_or_tenant_is_not_rated(acme: Actor, globex: Actor) -> None:
    chat_id = acme.new_chat()
    _, reply_id = await answered(acme, chat_id)
    for actor in (acme, globex):
        socket = await actor.join(actor.new_chat())
        await socket.send({"action": "rate", "message_id": reply_id, "rating": "down"})
        assert (await socket.until("error"))["error_code"] == "INVALID_REQUEST"
    assert "rating" not in history(acme, chat_id)[1]["metadata"]


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        ({}, "message_id"),
        ({"message_id": 5, "rating": "up"}, "message_id"),
        ({"message_id": "x"}, "rating"),
        ({"message_id": "x", "rating": "great"}, "rating"),
        ({"message_id": "x", "rating": True}, "rating"),
    ],
)
async def test_a_rating_that_is_none_is_refused(acme: Actor, frame: dict[str, Any], field: str) -> None:
    async with await acme.join(acme.new_chat()) as socket:
        await socket.send({"action": "rate", **frame})
        error = await socket.until("error")
        assert (error["error_code"], list(error["details"]["fields"])) == ("INVALID_REQUEST", [field])


async def test_a_failed_reply_can_be_rated(acme: Actor) -> None:
    socket = await acme.join(acme.new_chat())
    ended = await socket.say(script(say="one two", fail="cut"))
    assert (await rate(socket, ended["message_id"], "down"))["rating"] == "down"
