"""Every answer that the OpenAPI document knows is brought about on a real server, and is what the document says.

What is asked comes from the document: an answer that is documented and not brought about fails, as does one that
has a field, a header, a status or a code which is not documented.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper

from chats.changes import change_chat
from core.db.executor import in_thread
from tests.documents.contract import check_answer, check_request, documented, operations
from tests.support.actors import Actor
from tests.support.client import read_sse, script
from tests.support.servers import Server

#: No database decides it.
pytestmark = pytest.mark.once

MIB = 1024 * 1024


@dataclass
class Asked:
    """A request that is answered well, to be sent as it is or spoiled."""

    method: str
    path: str
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


def send(actor: Actor, asked: Asked) -> httpx.Response:
    keys = {"X-API-Key": actor.tenant_key, "Authorization": f"Bearer {actor.customer_key}"}
    return httpx.request(
        asked.method,
        actor.base + asked.path,
        json=asked.json,
        content=asked.content,
        headers=keys | asked.headers,
        params=asked.params,
        verify=False,
        timeout=30,
    )


def ask(actor: Actor, name: str) -> Asked:
    """A good request of this operation, with all that it may have in its body."""
    method, path, described = operations()[name]
    if "{message_id}" in path:
        chat_id = actor.new_conversation()
        said = actor.customer("POST", f"/{chat_id}/messages", json={"message": "Hello"})
        reply_id = said.headers["X-Stream-Id"].partition(":")[0]
        path = path.replace("{chat_id}", chat_id).replace("{message_id}", reply_id)
    elif "{chat_id}" in path:
        path = path.replace("{chat_id}", actor.new_chat())
    elif "{conversation_id}" in path:
        path = path.replace("{conversation_id}", actor.new_conversation())
    elif "{user_id}" in path or name == "listChats":
        actor.new_chat("a/b")
        path = path.replace("{user_id}", "a%2Fb")
    asked = Asked(method.upper(), path)
    if "requestBody" in described:
        asked.json = described["requestBody"]["content"]["application/json"]["example"]
        assert check_request(name, asked.json) == []
    return asked


# --- How each failure comes about: by the request, or by what is done before it ---


def nothing(actor: Actor, asked: Asked) -> None:
    """The request is good."""


def policy(**changes: Any) -> Callable[[Actor, Asked], None]:
    """The tenant's policy is another."""

    def change(actor: Actor, asked: Asked) -> None:
        for name, value in changes.items():
            setattr(actor.tenant, name, value)
        actor.tenant.save()

    return change


def unknown_key(actor: Actor, asked: Asked) -> None:
    asked.headers |= {"X-API-Key": "lxt_unknown", "Authorization": "Bearer lxc_unknown"}


def other_key(actor: Actor, asked: Asked) -> None:
    asked.headers |= {"X-API-Key": actor.customer_key, "Authorization": f"Bearer {actor.tenant_key}"}


def invalid(actor: Actor, asked: Asked) -> None:
    """What the operation can not take, wherever it takes anything."""
    if asked.json is not None:
        asked.json = dict.fromkeys(asked.json, 5)
    else:
        asked.params = {"limit": "0", "force": "perhaps", "stream": "none", "format": "xml"}


def too_large(actor: Actor, asked: Asked) -> None:
    asked.json, asked.content = None, b'{"user_id": "' + b"x" * MIB + b'"}'
    asked.headers["Content-Type"] = "application/json"


def no_json(actor: Actor, asked: Asked) -> None:
    asked.json, asked.content = None, b"user_id=alice"
    asked.headers["Content-Type"] = "application/x-www-form-urlencoded"


def no_such_id(actor: Actor, asked: Asked) -> None:
    parts = asked.path.split("/")
    asked.path = "/".join(str(uuid.uuid4()) if len(part) == 36 else part for part in parts)


def no_such_user(actor: Actor, asked: Asked) -> None:
    asked.path = asked.path.replace("a%2Fb", "nobody")
    asked.params = {"user_id": "nobody"}


def other_body(actor: Actor, asked: Asked) -> None:
    """The Idempotency-Key was used with another body before."""
    asked.headers["Idempotency-Key"] = "once"
    assert send(actor, asked).is_success
    asked.json = {name: value + "!" if isinstance(value, str) else value for name, value in asked.json.items()}


def spoiled(actor: Actor, asked: Asked) -> None:
    """The tenant's row is as no code of ours writes it."""
    spoil(actor, "not json")


def spoil(actor: Actor, text: str) -> None:
    known = str(actor.tenant_id) if connection.vendor == "postgresql" else actor.tenant_id.hex
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_tenant SET allowed_origins = %s WHERE id = %s", [text, known])
        assert cursor.rowcount == 1


FAILURES: dict[str, Callable[[Actor, Asked], None]] = {
    "": nothing,
    "AUTH_ERROR": unknown_key,
    "WRONG_KEY_TYPE": other_key,
    "RATE_LIMIT_EXCEEDED": policy(rest_per_minute=0),
    "INTERNAL_ERROR": spoiled,
    "INVALID_REQUEST": invalid,
    "PAYLOAD_TOO_LARGE": too_large,
    "UNSUPPORTED_MEDIA_TYPE": no_json,
    "CHAT_NOT_FOUND": no_such_id,
    "USER_NOT_FOUND": no_such_user,
    "IDEMPOTENCY_CONFLICT": other_body,
    "MESSAGE_TOO_LONG": policy(message_max_characters=1),
    "MESSAGE_LIMIT_REACHED": policy(message_limit=0),
    "PAYMENT_REQUIRED": policy(subscription_active=False),
}
#: What has a test of its own below.
APART = {
    ("deleteChat", 409, "CHAT_IN_USE"),
    ("resumeStream", 200, ""),
    ("isReady", 200, ""),
    ("isReady", 503, ""),
}
UNAVAILABLE = sorted(answer for answer in documented() if answer[2] == "SERVICE_UNAVAILABLE")
ASKED = sorted(documented() - APART - set(UNAVAILABLE))


@pytest.fixture
def whole(acme: Actor) -> Iterator[Actor]:
    """Acme, whose row is put right again: staff list all tenants."""
    yield acme
    spoil(acme, "[]")


@pytest.mark.parametrize(("name", "status", "code"), ASKED)
def test_an_answer_is_as_documented(whole: Actor, name: str, status: int, code: str) -> None:
    asked = ask(whole, name)
    FAILURES[code](whole, asked)
    assert check_answer(name, send(whole, asked)) == (status, code)


def test_a_chat_that_is_open_can_not_be_deleted(acme: Actor) -> None:
    asked = ask(acme, "deleteChat")

    async def delete() -> httpx.Response:
        async with await acme.join(asked.path.rpartition("/")[2]):
            return await asyncio.to_thread(send, acme, asked)

    assert check_answer("deleteChat", asyncio.run(delete())) == (409, "CHAT_IN_USE")


@pytest.mark.parametrize(("name", "status", "code"), UNAVAILABLE)
async def test_an_answer_without_a_database_is_as_documented(
    live: Callable[..., Actor], monkeypatch: pytest.MonkeyPatch, name: str, status: int, code: str
) -> None:
    from lexicon.asgi import application

    acme = await in_thread(live, "Acme")
    asked = await asyncio.to_thread(ask, acme, name)
    real = CursorWrapper.execute

    def execute(self: Any, sql: str, params: Any = None) -> Any:
        if '"tenants_apikey"' in sql:
            raise OperationalError("the connection is lost")
        return real(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", execute)
    headers = {"X-API-Key": acme.tenant_key, "Authorization": f"Bearer {acme.customer_key}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://inside") as client:
        answer = await client.request(asked.method, asked.path, json=asked.json, headers=headers)
    assert check_answer(name, answer) == (status, code)


def test_a_process_that_is_not_ready_says_so_as_documented(tmp_path: Path) -> None:
    server = Server(database_url=f"sqlite:///{tmp_path / 'empty.sqlite3'}", log=tmp_path / "log")
    try:
        server.start(wait=False)
        answer = until_it_answers(server)
    finally:
        server.close()
    assert check_answer("isReady", answer) == (503, "")


def test_a_process_that_is_ready_says_so_as_documented(own_database: str, tmp_path: Path) -> None:
    server = Server(database_url=own_database, log=tmp_path / "log")
    try:
        server.start()
        assert check_answer("isReady", until_it_answers(server)) == (200, "")
    finally:
        server.close()


def until_it_answers(server: Server) -> httpx.Response:
    transport = httpx.HTTPTransport(verify=False)
    with httpx.Client(transport=transport, timeout=60) as client:
        while True:
            assert server.process is not None
            assert server.process.poll() is None, server.log.read_text()
            try:
                return client.get(server.http + "/readyz")
            except httpx.ConnectError:
                time.sleep(0.05)


# --- Answers in more detail ---


def test_pages_of_chats_and_messages_are_as_documented(acme: Actor) -> None:
    conversation = acme.new_conversation(customerIdentifier="alice", metadata={"nested": {"list": [1, None]}})
    for message in ("one", script(say="")):
        acme.customer("POST", f"/{conversation}/messages", json={"message": message})
    acme.new_chat("alice", title="T")
    for name, path in (
        ("listChats", ""),
        ("listUserChats", "/user/alice"),
        ("getChat", f"/{conversation}"),
        ("listMessages", f"/{conversation}/messages"),
    ):
        answer = acme.rest("GET", path)
        assert check_answer(name, answer) == (200, "")
    assert [row["sender_role"] for row in answer.json()["messages"]] == ["user", "assistant"] * 2
    assert check_answer("readConversation", acme.customer("GET", f"/{conversation}/messages")) == (200, "")


def test_the_stream_of_a_reply_that_failed_is_as_documented(acme: Actor) -> None:
    conversation = acme.new_conversation()
    message = script(say="one two", fail="cut")
    answer = acme.customer("POST", f"/{conversation}/messages", json={"message": message})
    assert check_answer("sendMessage", answer) == (200, "")
    assert read_sse(answer.content)[-2][1]["type"] == "error"
    history = acme.rest("GET", f"/{conversation}/messages")
    assert check_answer("listMessages", history) == (200, "")
    assert history.json()["messages"][1]["metadata"]["failed"] is True


def test_the_stream_of_an_escalated_conversation_is_as_documented(acme: Actor) -> None:
    conversation = acme.new_conversation()
    change_chat(tenant_id=acme.tenant_id, chat_id=conversation, status="escalated")
    answer = acme.customer("POST", f"/{conversation}/messages", json={"message": "Hello"})
    assert check_answer("sendMessage", answer) == (200, "")
    assert [data for _, data in read_sse(answer.content)] == [{"type": "status", "status": "escalated"}, "[DONE]"]
    assert "X-Stream-Id" not in answer.headers


@pytest.mark.parametrize("restarted", [False, True])
def test_a_reply_in_flight_is_followed_as_documented(acme: Actor, model_server: str, restarted: bool) -> None:
    conversation = acme.new_conversation()
    hold = uuid.uuid4().hex
    keys = {"Authorization": f"Bearer {acme.customer_key}"}
    address = f"{acme.base}/api/v1/customer/conversations/{conversation}"
    message = {"message": script(say="one two", hold=hold)}
    with httpx.stream("POST", address + "/messages", json=message, headers=keys, verify=False) as posted:
        stream_id = posted.headers["X-Stream-Id"]
        asked = stream_id.partition(":")[0] + ":99" if restarted else stream_id
        # The reply is released once this response has begun: its headers have come.
        with httpx.stream("GET", address + "/stream", params={"stream": asked}, headers=keys, verify=False) as followed:
            httpx.post(f"{model_server.removesuffix('/v1')}/release/{hold}", verify=False)
            followed.read()
    assert check_answer("resumeStream", followed) == (200, "")
    told = [data for _, data in read_sse(followed.content)]
    assert (told[0] == {"type": "restart"}) is restarted
    assert "".join(data.get("text", "") for data in told[:-1]) == "one two"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("createChat", {"user_id": "alice", "title": None, "metadata": None}),
        ("changeChat", {}),
        ("changeChat", {"title": "T", "metadata": {"a": 1}, "status": "active"}),
        ("createChatToken", {"user_id": None, "ttl_seconds": None}),
        ("rateMessage", {"rating": None}),
        ("createConversation", {"customerIdentifier": None, "metadata": None}),
    ],
)
def test_what_the_document_allows_is_taken(acme: Actor, name: str, body: dict[str, Any]) -> None:
    asked = ask(acme, name)
    asked.json = body
    assert check_request(name, body) == []
    assert check_answer(name, send(acme, asked))[1] == ""


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("createChat", {}),
        ("createChat", {"user_id": ""}),
        ("createChat", {"user_id": "x" * 256}),
        ("createChat", {"user_id": "alice", "title": "x" * 256}),
        ("createChat", {"user_id": "alice", "metadata": []}),
        ("changeChat", {"status": "escalated"}),
        ("rateMessage", {}),
        ("rateMessage", {"rating": "great"}),
        ("createChatToken", {"ttl_seconds": 59}),
        ("createChatToken", {"ttl_seconds": 86_401}),
        ("createConversation", {"customerIdentifier": ""}),
        ("sendMessage", {}),
        ("sendMessage", {"message": " \n"}),
    ],
)
def test_what_the_document_forbids_is_refused(acme: Actor, name: str, body: dict[str, Any]) -> None:
    asked = ask(acme, name)
    asked.json = body
    assert check_request(name, body) != []
    assert check_answer(name, send(acme, asked)) == (400, "INVALID_REQUEST")
