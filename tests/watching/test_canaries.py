"""Keys, tokens, passwords and message texts go through every door of a server that logs all it may: none gets out.

One story is told to a server of its own, with failures of every kind in it; each test looks in another place.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection

from core.db.executor import in_thread
from tenants import keys
from tests.rest.wire import exchange
from tests.support.actors import Actor, new_actor
from tests.support.client import Socket, script
from tests.support.model_server import CANARY
from tests.support.servers import Server
from tests.watching.conftest import Elsewhere, lines

#: In every text that a user says, in whatever field.
TEXT = "canary-of-a-user"
PASSWORD = "canary-of-a-password"


@dataclass
class Story:
    """What was told, and what came back."""

    acme: Actor
    #: Keys, tokens and passwords, by what they are.
    secrets: dict[str, str] = field(default_factory=dict)
    #: The bodies of answers that refuse, and the error events of sockets.
    refusals: list[str] = field(default_factory=list)
    chat_id: str = ""
    #: Where the server's own failures were provoked.
    broken_id: str = ""

    def http(self, method: str, path: str, *, status: int, **options: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if "content" in options else {}
        headers |= options.pop("headers", {})
        answer = httpx.request(method, self.acme.base + path, headers=headers, timeout=30, verify=False, **options)
        assert answer.status_code == status, (method, path, answer.text)
        if status >= 400:
            self.refusals.append(answer.text)
        return answer

    @property
    def key(self) -> dict[str, str]:
        return {"X-API-Key": self.acme.tenant_key}

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.acme.customer_key}"}


@pytest.fixture(scope="module")
def story(watched: Server) -> Story:
    told = Story(new_actor("Acme", base=watched.http, model="openai:test"))
    told.secrets |= {
        "tenant key": told.acme.tenant_key,
        "customer key": told.acme.customer_key,
        "unknown key": keys.new_key("tenant"),
        "malformed key": "lxt_canaryofakey",
        "model's key": watched.env["OPENAI_API_KEY"],
        "SECRET_KEY": watched.env["SECRET_KEY"],
        "password": PASSWORD,
    }
    tell_rest(told)
    asyncio.run(tell_sockets(told))
    tell_sse(told)
    tell_staff(told)
    break_rows(told)
    return told


def tell_rest(story: Story) -> None:
    chat = {"user_id": TEXT, "title": TEXT, "metadata": {TEXT: TEXT}}
    story.chat_id = story.http("POST", "/api/v1/chats/", status=201, headers=story.key, json=chat).json()["id"]
    path = f"/api/v1/chats/{story.chat_id}"
    story.secrets["chat token"] = story.http(
        "POST", path + "/tokens", status=201, headers=story.key, json={"user_id": TEXT}
    ).json()["token"]
    story.http("GET", f"/api/v1/chats/user/{TEXT}", status=200, headers=story.key)
    story.http("GET", f"/api/v1/chats/user/{TEXT}-2", status=404, headers=story.key)
    story.http("PATCH", path, status=400, headers=story.key, json={"status": TEXT, "title": [TEXT]})
    story.http("POST", "/api/v1/chats/", status=400, headers=story.key, json={"user_id": [TEXT]})
    story.http("POST", "/api/v1/chats/", status=400, headers=story.key, content=b'{"user_id": "' + TEXT.encode())
    story.http("GET", path + f"?{TEXT}&api_key={story.acme.tenant_key}", status=401)
    story.http("GET", f"/nothing/{TEXT}?token={story.secrets['chat token']}", status=404)
    for name in ("unknown key", "malformed key"):
        story.http("GET", path, status=401, headers={"X-API-Key": story.secrets[name]})
        story.http("GET", f"/api/v1/customer/conversations/{story.chat_id}/messages", status=401,
                   headers={"Authorization": f"Bearer {story.secrets[name]}"})  # fmt: skip
    story.http("GET", path, status=403, headers={"X-API-Key": story.acme.customer_key})
    story.http("GET", "/metrics", status=404, headers={"X-Forwarded-For": "203.0.113.9"})
    answer = exchange(story.acme.base, "GET", path, headers={**story.key, "Host": TEXT})
    story.refusals += [answer.content.decode()] if answer.status_code >= 400 else []


async def tell_sockets(story: Story) -> None:
    socket = await story.acme.join(story.chat_id, TEXT)
    await socket.say(TEXT, metadata={TEXT: TEXT}, client_message_id=TEXT)
    for failure in ("http-500", "json-error", "error-object", "not-json", "cut", "html"):
        await socket.say(script(fail=failure, say=f"{TEXT} {TEXT}"))
    for frame in (TEXT, "{" + TEXT, json.dumps({"action": TEXT}), json.dumps({"content": [TEXT]}), TEXT.encode()):
        await socket.send(frame)
        await socket.until("error")
    story.refusals += map(json.dumps, socket.of_type("error"))
    await socket.close()
    by_token = {"token": story.secrets["chat token"]}
    await (await story.acme.join(story.chat_id, TEXT, api_key="", **by_token)).close()
    for refused in (
        {"api_key": story.secrets["unknown key"]},
        {"api_key": story.secrets["malformed key"]},
        {"api_key": story.acme.customer_key},
        {"token": story.secrets["chat token"] + "x"},
        {**by_token, "user_id": "bob"},
    ):
        query = {"user_id": TEXT, "chat_id": story.chat_id, **refused}
        socket = await Socket.open(story.acme.ws, **query)
        await socket.closed()
        story.refusals += map(json.dumps, socket.events)


def tell_sse(story: Story) -> None:
    conversations = "/api/v1/customer/conversations"
    made = story.http("POST", conversations, status=201, headers=story.bearer, json={"customerIdentifier": TEXT})
    story.broken_id = made.json()["conversationId"]
    path = f"{conversations}/{story.broken_id}/messages"
    for text in (TEXT, script(fail="http-401", say=TEXT), script(fail="error-object", say=TEXT)):
        story.http("POST", path, status=200, headers=story.bearer, json={"message": text})
    story.http("POST", path, status=400, headers=story.bearer, json={"message": [TEXT]})
    story.http("POST", path, status=400, headers=story.bearer, content=b"{" + TEXT.encode())


def tell_staff(story: Story) -> None:
    name = f"staff-{uuid.uuid4().hex}"
    staff = get_user_model().objects.create_superuser(name)
    # As the server would: the tests' own hasher is not one of the server's.
    staff.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt")
    staff.save()
    with httpx.Client(base_url=story.acme.base, verify=False, timeout=30) as client:

        def post(path: str, **form: str) -> httpx.Response:
            page = client.get(path)
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
            return client.post(path, data={"csrfmiddlewaretoken": token[1] if token else "", **form})

        # A password where the name belongs, as it happens.
        assert post("/admin/login/", username=PASSWORD, password=TEXT).status_code == 200
        assert post("/admin/login/", username=name, password=PASSWORD).status_code == 302
        assert post(f"/admin/chats/chat/{story.chat_id}/change/", text=f"An answer: {TEXT}").status_code == 302
        assert TEXT in client.get(f"/admin/chats/chat/{story.chat_id}/change/").text
        story.secrets["session"] = client.cookies["lexicon_session"]
        assert client.post("/admin/login/", data={"password": PASSWORD}).status_code == 403


def break_rows(story: Story) -> None:
    """Rows that nobody can read, which is what no code foresees."""
    with connection.cursor() as cursor:
        broken = "{" + TEXT
        where = "chat_id = %s" if connection.vendor == "postgresql" else "chat_id = REPLACE(%s, '-', '')"
        cursor.execute(f"UPDATE chats_message SET metadata = %s WHERE {where}", [broken, story.broken_id])
        assert cursor.rowcount > 0
    story.http("GET", f"/api/v1/chats/{story.broken_id}/messages", status=500, headers=story.key)
    story.http("GET", f"/api/v1/chats/{story.broken_id}/messages?order=desc", status=500, headers=story.key)
    asyncio.run(break_socket(story))


async def break_socket(story: Story) -> None:
    socket = await Socket.open(
        story.acme.ws, api_key=story.acme.tenant_key, user_id=TEXT, chat_id=story.broken_id, after="0"
    )
    await socket.closed()
    story.refusals += map(json.dumps, socket.of_type("error"))


def assert_clean(story: Story, text: str) -> None:
    assert text
    found = {name for name, secret in story.secrets.items() if secret in text}
    assert found == set()
    assert TEXT not in text
    assert CANARY not in text


def test_no_log_line_has_any(story: Story, watched: Server) -> None:
    assert_clean(story, watched.log.read_text())


def test_the_log_tells_of_all_that_happened(story: Story, watched: Server) -> None:
    """Or there would be nothing in it to find."""
    told = [(line["level"], line["message"]) for line in lines(watched)]
    assert {
        ("INFO", "answered"),
        ("INFO", "socket opened"),
        ("INFO", "socket closed"),
        ("INFO", "socket refused"),
        ("INFO", "reply ended"),
        ("INFO", "a staff login"),
        ("WARNING", "a staff login failed"),
        ("ERROR", "unforeseen failure"),
    } <= set(told)
    assert len([message for _, message in told if "the model failed" in message]) == 8
    assert {"DEBUG", "INFO", "WARNING", "ERROR"} == {level for level, _ in told}


def test_no_metric_has_any(story: Story, watched: Server) -> None:
    text = httpx.get(watched.http + "/metrics", verify=False).text
    assert_clean(story, text)
    assert str(story.acme.tenant_id) not in text


def test_no_refusal_has_any(story: Story) -> None:
    assert len(story.refusals) > 30
    assert any("INTERNAL_ERROR" in refusal for refusal in story.refusals)
    assert any("AGENT_ERROR" in refusal for refusal in story.refusals)
    # What a caller is told of its own client_message_id or user is its own.
    for refusal in story.refusals:
        assert_clean(story, refusal)


def test_what_is_reported_elsewhere_has_none(story: Story, elsewhere: Elsewhere) -> None:
    until(lambda: len(elsewhere.failures()) >= 3 and "reply" in {span.name for span in elsewhere.spans()})
    assert_clean(story, elsewhere.text())


def test_a_failure_that_nobody_foresaw_is_reported_with_what_it_was_about(story: Story, elsewhere: Elsewhere) -> None:
    until(lambda: len(elsewhere.failures()) >= 3)
    [failure] = [event for event in elsewhere.failures() if event["logger"] == "core.error_responses"][:1]
    assert failure["level"] == "error"
    assert failure["logentry"] == {"message": "unforeseen failure"}
    assert failure["tags"]["tenant_id"] == str(story.acme.tenant_id)
    assert failure["tags"]["chat_id"] == story.broken_id
    last = failure["exception"]["values"][-1]
    assert last["type"] == "JSONDecodeError"
    assert last["stacktrace"]["frames"][-1]["function"] == "from_db_value"
    assert not any("vars" in frame for frame in last["stacktrace"]["frames"])
    assert not {"request", "user", "extra", "breadcrumbs"} & set(failure)


def test_a_replys_spans_say_how_it_went(story: Story, elsewhere: Elsewhere) -> None:
    until(lambda: {"request", "post", "reply", "model call"} <= {span.name for span in elsewhere.spans()})
    # A call ends before its reply does, and may be sent a batch earlier.
    until(lambda: parents_of_calls(elsewhere) <= {span.span_id for span in elsewhere.spans() if span.name == "reply"})
    replies = [span for span in elsewhere.spans() if span.name == "reply"]
    values = [{pair.key: pair.value for pair in span.attributes} for span in replies]
    failed = [value for value in values if value["lexicon.state"].string_value == "failed"]
    done = [value for value in values if value["lexicon.state"].string_value == "done"]
    assert failed
    assert done[0]["lexicon.model"].string_value == "openai:test"
    assert done[0]["lexicon.tokens"].int_value > 0
    assert done[0]["lexicon.tenant_id"].string_value == str(story.acme.tenant_id)


def parents_of_calls(elsewhere: Elsewhere) -> set[bytes]:
    """The spans that the calls of a model were made in."""
    return {span.parent_span_id for span in elsewhere.spans() if span.name == "model call"}


def until(condition: Any, seconds: float = 30) -> None:
    """Wait for what is sent in the background."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


async def test_lines_of_a_reply_carry_its_ids(story: Story, watched: Server) -> None:
    ended = [line for line in await in_thread(lines, watched) if line["message"] == "reply ended"]
    assert {"time", "level", "logger", "tenant_id", "chat_id", "reply_id", "state", "model", "tokens"} <= set(ended[0])
    # None that belongs to whoever asked for it: it may go on when they are gone.
    assert not {"request_id", "connection_id"} & set(ended[0])


def test_lines_of_a_request_carry_its_ids(story: Story, watched: Server) -> None:
    asked = httpx.get(
        f"{watched.http}/api/v1/chats/{story.chat_id}", headers={**story.key, "X-Request-ID": "mine"}, verify=False
    )
    assert asked.status_code == 200
    [line] = [line for line in lines(watched) if line.get("request_id") == "mine"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/v1/chats/{chat_id}", 200)
    assert (line["tenant_id"], line["chat_id"]) == (str(story.acme.tenant_id), story.chat_id)
    assert line["milliseconds"] > 0


def test_lines_of_a_socket_carry_its_ids(story: Story, watched: Server) -> None:
    opened, closed = (
        [line for line in lines(watched) if line["message"] == message]
        for message in ("socket opened", "socket closed")
    )
    assert opened[0]["chat_id"] == closed[0]["chat_id"] == story.chat_id
    assert opened[0]["connection_id"] == closed[0]["connection_id"]
    assert opened[0]["tenant_id"] == str(story.acme.tenant_id)


def test_who_tries_keys_is_found(story: Story, watched: Server) -> None:
    refused = [line for line in lines(watched) if line.get("error_code") == "AUTH_ERROR"]
    assert {line["message"] for line in refused} == {"answered", "socket refused"}
    assert {line["address"] for line in refused} == {"127.0.0.1"}


def test_what_staff_read_is_written_down(story: Story, watched: Server) -> None:
    read = [line for line in lines(watched) if line.get("route") == "/admin/chats/chat/{object_id}/change/"]
    assert read[0]["object_id"] == story.chat_id
    assert read[0]["staff_id"].isdigit()
