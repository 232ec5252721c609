"""How a WebSocket is opened, and how one is refused: accepted, told why in one event, closed."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import websockets

from core.db.executor import in_thread
from tenants.models import ApiKey
from tenants.provisioning import do_create_key, do_create_tenant
from tests.support.actors import Actor
from tests.support.client import SOON, Socket
from tests.websocket.conftest import NewTenant

#: It holds on both servers.
pytestmark = pytest.mark.daphne

INVALID_KEY = (
    "AUTH_ERROR",
    "Invalid API key",
    "Check your tenant API key value. Each tenant has a unique API key in the tenants table.",
)
MISSING_USER = (
    "AUTH_ERROR",
    "Missing user_id parameter",
    "Add user_id parameter: ?user_id=your_user_id or X-User-ID header",
)
MISSING_CHAT = (
    "INVALID_REQUEST",
    "Missing chat_id parameter",
    "Add chat_id parameter: ?chat_id=your_chat_id or X-Chat-ID header",
)


def not_found(chat_id: str) -> tuple[str, str, str]:
    return (
        "CHAT_NOT_FOUND",
        f"Chat with chat_id '{chat_id}' not found or does not belong to your tenant",
        "Create the chat first using POST /api/v1/chats/ endpoint",
    )


async def refused(actor: Actor, **options: Any) -> tuple[tuple[str, str, str], int]:
    """Code, message and fix of the one event a refused socket gets, and the close code."""
    socket = await Socket.open(actor.ws, **options)
    code, reason = await socket.closed()
    [event] = socket.events
    assert event["event_type"] == "error"
    # daphne closes without a reason; tests/websocket/test_uvicorn.py looks at uvicorn's.
    assert reason in (event["error_code"], "")
    return (event["error_code"], event["error_message"], event["details"]["fix"]), code


async def admitted(actor: Actor, **options: Any) -> dict[str, Any]:
    """The greeting of a socket that is let in."""
    async with await Socket.open(actor.ws, **options) as socket:
        greeting = await socket.next()
    assert greeting["event_type"] == "connection_established"
    return greeting


async def first_event(actor: Actor, parameters: bytes, header: bytes = b"") -> dict[str, Any]:
    """The first event after a handshake with a header that the client library would not send."""
    address = urlsplit(actor.base)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        b"GET /ws/chat?%b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n" % (parameters, header)
    )
    try:
        async with asyncio.timeout(SOON):
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            kind, size = await reader.readexactly(2)
            assert kind == 0x81  # a whole text frame
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2), "big")
            return json.loads(await reader.readexactly(size))
    finally:
        writer.close()
        await writer.wait_closed()


def query(actor: Actor, chat_id: str, **other: str) -> dict[str, str]:
    return {"api_key": actor.tenant_key, "user_id": "alice", "chat_id": chat_id, **other}


def headers(actor: Actor, chat_id: str, **other: str) -> dict[str, str]:
    return {"X-API-Key": actor.tenant_key, "X-User-ID": "alice", "X-Chat-ID": chat_id, **other}


# --- Let in ---


async def test_credentials_may_come_in_the_query(acme: Actor) -> None:
    chat_id = acme.new_chat()
    greeting = await admitted(acme, **query(acme, chat_id))
    assert (greeting["user_id"], greeting["chat_id"], greeting["tenant_id"]) == ("alice", chat_id, str(acme.tenant_id))


async def test_credentials_may_come_in_headers(acme: Actor) -> None:
    chat_id = acme.new_chat()
    greeting = await admitted(acme, headers=headers(acme, chat_id))
    assert (greeting["user_id"], greeting["chat_id"]) == ("alice", chat_id)


async def test_a_header_wins_over_the_query(acme: Actor) -> None:
    chat_id = acme.new_chat()
    in_query = {"api_key": "no key", "user_id": "bob", "chat_id": "no chat"}
    greeting = await admitted(acme, headers=headers(acme, chat_id), **in_query)
    assert (greeting["user_id"], greeting["chat_id"]) == ("alice", chat_id)


async def test_a_bad_key_in_the_header_is_not_saved_by_a_good_one_in_the_query(acme: Actor) -> None:
    chat_id = acme.new_chat()
    problem, code = await refused(acme, headers={"X-API-Key": "no key"}, **query(acme, chat_id))
    assert (problem, code) == (INVALID_KEY, 4401)


async def test_a_trailing_slash_makes_no_difference(acme: Actor) -> None:
    chat_id = acme.new_chat()
    assert (await admitted(acme, path="/ws/chat/", **query(acme, chat_id)))["chat_id"] == chat_id


@pytest.mark.parametrize("user_id", ["a/b?c&d=e", "müller ☕", "a,b", "100%", "x" * 255])
async def test_a_user_id_is_any_text(acme: Actor, user_id: str) -> None:
    chat_id = acme.new_chat()
    assert (await admitted(acme, **query(acme, chat_id, user_id=user_id)))["user_id"] == user_id


async def test_a_user_id_in_a_header_is_read_as_utf_8(acme: Actor) -> None:
    header = "X-User-ID: müller ☕\r\n".encode()
    greeting = await first_event(acme, f"api_key={acme.tenant_key}&chat_id={acme.new_chat()}".encode(), header)
    assert greeting["user_id"] == "müller ☕"


async def test_any_user_of_the_tenant_may_join_any_of_its_chats(acme: Actor) -> None:
    conversation = acme.new_conversation()
    assert (await admitted(acme, **query(acme, conversation, user_id="bob")))["user_id"] == "bob"


async def test_compression_is_not_offered(acme: Actor) -> None:
    address = f"{acme.ws}/ws/chat?api_key={acme.tenant_key}&user_id=alice&chat_id={acme.new_chat()}"
    async with websockets.connect(address, compression="deflate", proxy=None) as connection:
        assert connection.response is not None
        assert "Sec-WebSocket-Extensions" not in connection.response.headers


async def test_a_frame_sent_with_the_handshake_is_read_after_the_greeting(acme: Actor) -> None:
    async with await Socket.open(acme.ws, **query(acme, acme.new_chat())) as socket:
        await socket.quiet()
        assert [event["event_type"] for event in socket.events] == ["connection_established", "pong"]


# --- Users made on the way ---


async def test_an_unknown_user_is_made_and_announced_right_after_the_greeting(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await Socket.open(acme.ws, **query(acme, chat_id, user_id="bob")) as socket:
        await socket.quiet()
    assert [event["event_type"] for event in socket.events] == ["connection_established", "user_created", "pong"]
    assert socket.events[1]["user_id"] == "bob"


async def test_a_known_user_is_not_announced_again(acme: Actor) -> None:
    chat_id = acme.new_chat()
    async with await acme.join(chat_id, "bob") as first, await acme.join(chat_id, "bob") as second:
        assert [event["event_type"] for event in await first.quiet()] == ["user_created"]
        assert await second.quiet() == []


async def test_a_user_of_another_tenant_is_another_user(acme: Actor, globex: Actor) -> None:
    acme.new_chat("bob")
    async with await globex.join(globex.new_chat(), "bob") as socket:
        assert [event["event_type"] for event in await socket.quiet()] == ["user_created"]


async def test_of_sockets_opened_together_one_makes_the_user(acme: Actor) -> None:
    chat_id = acme.new_chat()
    sockets = await asyncio.gather(*(acme.join(chat_id, "bob") for _ in range(8)))
    announced = [event for socket in sockets for event in await socket.quiet()]
    await asyncio.gather(*(socket.close() for socket in sockets))
    assert [event["event_type"] for event in announced] == ["user_created"]


async def test_a_refused_socket_makes_no_user(acme: Actor) -> None:
    await refused(acme, **query(acme, str(uuid.uuid4()), user_id="bob"))
    async with await acme.join(acme.new_chat(), "bob") as socket:
        assert [event["event_type"] for event in await socket.quiet()] == ["user_created"]


# --- Refused ---


def broken(key: str) -> str:
    """The key with its checksum broken."""
    return key[:-1] + ("0" if key[-1] != "0" else "1")


@pytest.mark.parametrize("key", ["nonsense", "lxt_" + "0" * 36, "broken checksum", "\0", "ключ"])
async def test_a_key_that_is_none_is_refused_in_the_words_of_the_documents(acme: Actor, key: str) -> None:
    key = broken(acme.tenant_key) if key == "broken checksum" else key
    assert await refused(acme, **query(acme, acme.new_chat(), api_key=key)) == (INVALID_KEY, 4401)


async def test_a_missing_key_is_refused(acme: Actor) -> None:
    (code, _, _), close = await refused(acme, user_id="alice", chat_id=acme.new_chat())
    assert (code, close) == ("AUTH_ERROR", 4401)


async def test_a_key_of_the_other_kind_is_refused_as_such(acme: Actor) -> None:
    (code, _, _), close = await refused(acme, **query(acme, acme.new_chat(), api_key=acme.customer_key))
    assert (code, close) == ("WRONG_KEY_TYPE", 4403)


async def test_an_unknown_key_of_the_other_kind_is_only_unknown(acme: Actor) -> None:
    tenant = await in_thread(do_create_tenant, name="Gone")
    _, key = await in_thread(do_create_key, tenant=tenant, kind=ApiKey.Kind.CUSTOMER)
    await in_thread(tenant.delete)
    assert await refused(acme, **query(acme, acme.new_chat(), api_key=key)) == (INVALID_KEY, 4401)


async def test_a_missing_user_id_is_refused_in_the_words_of_the_documents(acme: Actor) -> None:
    given = query(acme, acme.new_chat())
    del given["user_id"]
    assert await refused(acme, **given) == (MISSING_USER, 4401)
    assert await refused(acme, **given, user_id="") == (MISSING_USER, 4401)


async def test_a_missing_chat_id_is_refused_in_the_words_of_the_documents(acme: Actor) -> None:
    given = {"api_key": acme.tenant_key, "user_id": "alice"}
    assert await refused(acme, **given) == (MISSING_CHAT, 4400)
    assert await refused(acme, **given, chat_id="") == (MISSING_CHAT, 4400)


@pytest.mark.parametrize("user_id", ["%00", "a%00b", "%FF", "%ED%A0%80", "x" * 256])
async def test_a_user_id_that_cannot_be_is_refused(acme: Actor, user_id: str) -> None:
    path = f"/ws/chat?api_key={acme.tenant_key}&chat_id={acme.new_chat()}&user_id={user_id}"
    (code, message, _), close = await refused(acme, path=path)
    assert (code, close) == ("INVALID_REQUEST", 4400)
    assert "user_id" in message


@pytest.mark.parametrize("form", ["nonsense", "hex", "braces", "urn", "dotted", "\0", "one\0more"])
async def test_a_malformed_chat_id_is_a_chat_that_is_not_found(acme: Actor, form: str) -> None:
    chat_id = acme.new_chat()
    spelled = {
        "hex": chat_id.replace("-", ""),
        "braces": "{" + chat_id + "}",
        "urn": f"urn:uuid:{chat_id}",
        "dotted": f"../{chat_id}",
        "one\0more": chat_id + "\0",
    }.get(form, form)
    assert await refused(acme, **query(acme, spelled)) == (not_found(spelled), 4404)


async def test_a_chat_id_that_is_no_text_is_not_found(acme: Actor) -> None:
    path = f"/ws/chat?api_key={acme.tenant_key}&user_id=alice&chat_id=%FF"
    (code, _, _), close = await refused(acme, path=path)
    assert (code, close) == ("CHAT_NOT_FOUND", 4404)


async def test_another_tenants_chat_is_as_unknown_as_any(acme: Actor, globex: Actor) -> None:
    for chat_id in (acme.new_chat(), acme.new_conversation(), str(uuid.uuid4())):
        assert await refused(globex, **query(globex, chat_id)) == (not_found(chat_id), 4404)


async def test_a_deleted_chat_is_not_found(acme: Actor) -> None:
    chat_id = acme.new_chat()
    assert acme.rest("DELETE", f"/{chat_id}").status_code == 200
    assert await refused(acme, **query(acme, chat_id)) == (not_found(chat_id), 4404)


@pytest.mark.parametrize("path", ["/", "/ws", "/ws/chat/more", "/ws/chats", "/api/v1/chats/"])
async def test_at_an_unknown_path_there_is_nothing(acme: Actor, path: str) -> None:
    (code, _, _), close = await refused(acme, path=path, **query(acme, acme.new_chat()))
    assert (code, close) == ("NOT_FOUND", 4404)


@pytest.mark.parametrize("name", ["X-API-Key", "X-Chat-ID"])
async def test_the_same_header_twice_with_different_values_is_refused(acme: Actor, name: str) -> None:
    given = headers(acme, acme.new_chat())
    twice = [*given.items(), (name, "another")]
    (code, _, _), close = await refused(acme, headers=twice)
    assert (code, close) == ("AUTH_ERROR", 4401)


@pytest.mark.parametrize("name", ["X-API-Key", "X-Chat-ID"])
async def test_the_same_header_twice_with_one_value_is_no_quarrel(acme: Actor, name: str) -> None:
    given = headers(acme, acme.new_chat())
    greeting = await admitted(acme, headers=[*given.items(), (name, given[name])])
    assert greeting["chat_id"] == given["X-Chat-ID"]


#: What is wrong with each of these handshakes, and which of it is answered.
ORDER: list[tuple[Callable[[Actor], dict[str, str]], str, int]] = [
    (lambda actor: {"api_key": "nonsense"}, "AUTH_ERROR", 4401),
    (lambda actor: {"api_key": actor.customer_key}, "WRONG_KEY_TYPE", 4403),
    (lambda actor: {"api_key": actor.tenant_key}, "AUTH_ERROR", 4401),
    (lambda actor: {"api_key": actor.tenant_key, "user_id": "\0"}, "INVALID_REQUEST", 4400),
    (lambda actor: {"api_key": actor.tenant_key, "user_id": "alice"}, "INVALID_REQUEST", 4400),
    (lambda actor: {"api_key": actor.tenant_key, "user_id": "alice", "chat_id": "none"}, "CHAT_NOT_FOUND", 4404),
    (lambda actor: query(actor, actor.new_chat(), after="x"), "INVALID_REQUEST", 4400),
    (lambda actor: query(actor, actor.new_chat()), "CONNECTION_LIMIT_EXCEEDED", 4429),
]


@pytest.mark.parametrize(("given", "code", "close"), ORDER)
async def test_of_several_failures_the_first_in_the_order_answers(
    new_tenant: NewTenant, given: Callable[[Actor], dict[str, str]], code: str, close: int
) -> None:
    nobody_may = await new_tenant(ws_connections=0)
    (answered, _, _), closed = await refused(nobody_may, **given(nobody_may))
    assert (answered, closed) == (code, close)


async def test_what_a_client_sends_before_it_reads_its_refusal_is_ignored(acme: Actor) -> None:
    socket = await Socket.open(acme.ws, **query(acme, str(uuid.uuid4())))
    async with asyncio.timeout(SOON):
        try:
            for _ in range(3):
                await socket.send({"content": "Hello?"})
        except websockets.ConnectionClosed:
            pass  # It was closed before.
    assert (await socket.closed())[0] == 4404
    assert [event["error_code"] for event in socket.events] == ["CHAT_NOT_FOUND"]
