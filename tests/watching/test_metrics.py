"""`/metrics` counts what happens, says it to the monitoring alone, and is what docs/watching.md says."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from core.db.executor import in_thread
from core.observability import metrics as names
from tenants import keys
from tests.conftest import new_database
from tests.support.actors import Actor, new_actor
from tests.support.client import SOON, Socket, eventually, script
from tests.support.servers import ROOT, Server
from tests.watching.conftest import lines, metrics

DOCUMENT = (ROOT / "docs" / "watching.md").read_text()


@pytest.fixture
def acme(watched: Server) -> Callable[..., Awaitable[Actor]]:
    """Makes tenants that talk to the watched server."""

    async def make(**policy: Any) -> Actor:
        return await in_thread(lambda: new_actor("Acme", base=watched.http, **{"model": "openai:test", **policy}))

    return make


class Growth:
    """How much the metrics of a server grew since this was made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = metrics(server)

    async def reaches(self, **steps: float) -> None:
        """Wait until each of these (by name, with its label as `name__value`) grew by exactly so much."""
        wanted = {self._spell(name): step for name, step in steps.items()}

        async def reached() -> bool:
            now = await asyncio.to_thread(metrics, self._server)
            return all(now[name] - self._before.get(name, 0.0) == step for name, step in wanted.items())

        await eventually(reached)

    def _spell(self, name: str) -> str:
        known = {re.sub(r"\W+", "_", full).strip("_"): full for full in metrics(self._server)}
        return known[name]


async def forget(actor: Actor, chat_id: str) -> None:
    """End what a test has begun: no count of it is left for the next."""
    answer = await asyncio.to_thread(actor.rest, "DELETE", f"/{chat_id}?force=true")
    assert answer.status_code == 200, answer.text


async def test_a_reply_is_counted_once_with_its_tokens(watched: Server, acme: Any) -> None:
    actor = await acme()
    chat_id = await asyncio.to_thread(actor.new_chat)
    grown = Growth(watched)
    async with await actor.join(chat_id) as socket:
        await socket.say(script(say="one two three", usage=[7, 3]))
        await grown.reaches(
            lexicon_replies_total_state_done=1,
            lexicon_tokens_total_direction_input=7,
            lexicon_tokens_total_direction_output=3,
            lexicon_first_token_seconds_count_backend_openai=1,
            lexicon_reply_seconds_count=1,
            lexicon_connections=1,
            lexicon_replies_running=0,
        )
    await grown.reaches(lexicon_connections=0)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [("http-500", "status"), ("not-json", "stream"), ("cut", "connection"), ("empty", "silent"), ("html", "stream")],
)
async def test_a_model_that_fails_is_counted_by_its_reason(
    watched: Server, acme: Any, failure: str, reason: str
) -> None:
    actor = await acme()
    chat_id = await asyncio.to_thread(actor.new_chat)
    grown = Growth(watched)
    async with await actor.join(chat_id) as socket:
        await socket.say(script(fail=failure))
    await grown.reaches(**{f"lexicon_model_errors_total_reason_{reason}": 1, "lexicon_replies_total_state_failed": 1})


@pytest.mark.parametrize(
    ("limit", "policy", "messages"),
    [
        ("queue", {"queue_depth": 1}, 3),
        ("frames", {"ws_messages_per_second": 1}, 2),
        ("conversation", {"message_limit": 1}, 2),
        ("credits", {"subscription_active": False}, 1),
    ],
)
async def test_a_message_that_meets_a_limit_is_counted(
    watched: Server, acme: Any, limit: str, policy: dict[str, Any], messages: int
) -> None:
    actor = await acme(**policy)
    chat_id = await asyncio.to_thread(actor.new_chat)
    grown = Growth(watched)
    async with await actor.join(chat_id) as socket:
        for _ in range(messages):
            await socket.send({"content": script(hold=f"{limit} {chat_id}")})
        await socket.until("error")
        await grown.reaches(**{f"lexicon_limits_hit_total_limit_{limit}": 1})
        await forget(actor, chat_id)


async def test_a_request_too_many_is_counted(watched: Server, acme: Any) -> None:
    actor = await acme(rest_per_minute=0)
    grown = Growth(watched)
    assert (await asyncio.to_thread(actor.rest, "GET", "/")).status_code == 429
    await grown.reaches(lexicon_limits_hit_total_limit_requests=1, lexicon_request_seconds_count_face_lexicon=1)


async def test_a_socket_too_many_is_counted(watched: Server, acme: Any) -> None:
    actor = await acme(ws_connections=0)
    chat_id = await asyncio.to_thread(actor.new_chat)
    grown = Growth(watched)
    socket = await Socket.open(actor.ws, api_key=actor.tenant_key, user_id="alice", chat_id=chat_id)
    assert (await socket.closed())[0] == 4429
    await grown.reaches(lexicon_limits_hit_total_limit_connections=1, lexicon_connections=0)


async def test_replies_that_wait_are_counted_from_the_database(watched: Server, acme: Any) -> None:
    actor = await acme()
    chat_id = await asyncio.to_thread(actor.new_chat)
    async with await actor.join(chat_id) as socket:
        for _ in range(3):
            await socket.send({"content": script(hold=chat_id)})

        async def counted() -> bool:
            now = await asyncio.to_thread(metrics, watched)
            waits = now["lexicon_replies_queued"] >= 2 and now["lexicon_replies_queued_oldest_seconds"] > 0
            return waits and now["lexicon_replies_running"] >= 1

        await eventually(counted)
        await forget(actor, chat_id)


def test_the_process_and_its_loop_tell_how_they_are(watched: Server) -> None:
    end = time.monotonic() + SOON
    # It looks once in a while, the first time a while after its start.
    while not (now := metrics(watched))["lexicon_loop_lag_seconds_count"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert 0 <= now["lexicon_heartbeat_age_seconds"] < 60
    assert now["lexicon_redis_up"] == 1
    assert now["process_resident_memory_bytes"] > 0


# --- Who may read them ---


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
def test_who_comes_through_a_proxy_finds_nothing(watched: Server, name: str) -> None:
    answer = httpx.get(watched.http + "/metrics", headers={name: "203.0.113.9"}, verify=False)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "NOT_FOUND")


@pytest.fixture(scope="module")
def guarded(pristine: str, tmp_path_factory: Any) -> Iterator[Server]:
    """A server with a METRICS_TOKEN."""
    folder = tmp_path_factory.mktemp("guarded")
    with new_database(pristine, folder) as address:
        server = Server(database_url=address, log=folder / "server.log", METRICS_TOKEN="token-of-the-monitoring")
        try:
            yield server.start()
        finally:
            server.close()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer token-of-the-monitoring", 200),
        ("bearer token-of-the-monitoring", 200),
        ("Bearer token-of-the-monitorinG", 404),
        ("Basic token-of-the-monitoring", 404),
        ("Bearer", 404),
        ("", 404),
        ("Bearer tökén", 404),
    ],
)
def test_with_a_token_only_who_sends_it_reads(guarded: Server, authorization: str, status: int) -> None:
    headers = [(b"Authorization", authorization.encode()), (b"X-Forwarded-For", b"203.0.113.9")]
    assert httpx.get(guarded.http + "/metrics", headers=headers, verify=False).status_code == status


def test_no_other_method_is_taken(watched: Server) -> None:
    answer = httpx.post(watched.http + "/metrics", verify=False)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_health_checks_are_logged_to_who_debugs_only(watched: Server) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        httpx.get(watched.http + path, verify=False)
    asked = [line for line in lines(watched) if line.get("route") in ("/healthz", "/readyz", "/metrics")]
    assert {line["level"] for line in asked if line["status"] == 200} == {"DEBUG"}


# --- The document ---


def families(server: Server) -> set[str]:
    """The names of the service's own metrics, as they are asked for."""
    text = httpx.get(server.http + "/metrics", verify=False).text
    return set(re.findall(r"^# TYPE (lexicon_\w+) ", text, re.MULTILINE))


def test_the_document_names_every_metric_and_no_other(watched: Server) -> None:
    documented = set(re.findall(r"^\| `(lexicon_\w+)", DOCUMENT, re.MULTILINE))
    assert documented == families(watched)


def test_the_alarms_ask_for_metrics_that_there_are(watched: Server) -> None:
    # What asks for figures by the status of requests and the length of histograms finds them, too.
    samples = {name.partition("{")[0] for name in metrics(watched)}
    alarms = DOCUMENT[DOCUMENT.index("groups:") : DOCUMENT.index("## Failures")]
    asked = set(re.findall(r"\b(?:lexicon|process)_\w+", alarms))
    assert len(asked) > 12
    assert asked - samples == set()


def test_the_document_names_every_label_value() -> None:
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `(lexicon_\w+).*$", DOCUMENT, re.MULTILINE)}
    for name, values in {
        "lexicon_limits_hit_total": names.LIMITS,
        "lexicon_refusals_total": names.REFUSAL_REASONS,
        "lexicon_task_restarts_total": names.TASKS,
        "lexicon_replies_total": names.REPLY_STATES,
        "lexicon_tokens_total": names.DIRECTIONS,
        "lexicon_model_errors_total": names.MODEL_REASONS,
    }.items():
        assert set(values) <= set(re.findall(r"`(\w+)`", rows[name])), name


def test_the_document_names_every_field_of_a_line(watched: Server) -> None:
    httpx.get(watched.http + "/nothing", verify=False)
    table = DOCUMENT[DOCUMENT.index("| field |") : DOCUMENT.index("An exception's own words")]
    known = set(re.findall(r"`(\w+)`", table))
    assert {name for line in lines(watched) for name in line} - known == set()


def test_no_key_is_a_metric(watched: Server) -> None:
    httpx.get(watched.http + "/api/v1/chats/", headers={"X-API-Key": keys.new_key("tenant")}, verify=False)
    assert not [name for name in metrics(watched) if "lxt" in name or "lxc" in name]
