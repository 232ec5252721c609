"""What the customer API tells of each failure of a model, and what comes after it.

Only on uvicorn: the process here has little patience, and what is told does not depend on the server.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.rest.wire import said_by
from tests.support.actors import Actor, new_actor
from tests.support.client import read_sse, script
from tests.support.failures import FAILURES, KEY, Failure
from tests.support.model_server import CANARY
from tests.support.servers import Server

#: No database decides it.
pytestmark = pytest.mark.once

#: So many failures in a row call a person; 0 for never.
NEVER, AT_ONCE = 0, 1
MODELS = ["openai:test", "anthropic:test"]
ESCALATED = {"type": "status", "status": "escalated"}


@dataclass(frozen=True)
class Told:
    """A conversation whose first reply fails, as its customer reads it."""

    message: str
    events: list[Any]
    history: dict[str, Any]
    #: The reply that failed, as its tenant reads it.
    reply: dict[str, Any]
    #: The events of the next reply.
    following: list[Any]


def converse(acme: Actor, failure: Failure) -> Told:
    path = f"/{acme.new_conversation()}/messages"

    def post(message: str) -> list[Any]:
        answer = acme.customer("POST", path, json={"message": message})
        assert answer.status_code == 200
        return [data for _, data in read_sse(answer.content)]

    message = failure.message(script)
    events = post(message)
    history = acme.customer("GET", path).json()
    [_, reply] = acme.rest("GET", path).json()["messages"]
    return Told(message, events, history, reply, post("Hello"))


#: By the model and the policy of the tenant.
Conversations = dict[tuple[str, int], Told]


@pytest.fixture(scope="module")
def tenants(impatient: Server, django_db_blocker: Any) -> dict[tuple[str, int], Actor]:
    with django_db_blocker.unblock():
        return {
            (model, after): new_actor("Acme", base=impatient.http, model=model, escalation_after=after)
            for model in MODELS
            for after in (NEVER, AT_ONCE)
        }


@pytest.fixture(scope="module", params=FAILURES)
def failure(request: pytest.FixtureRequest) -> Failure:
    return FAILURES[request.param]


@pytest.fixture(scope="module")
def conversations(tenants: dict[tuple[str, int], Actor], failure: Failure) -> Conversations:
    """One of each tenant, all at once: it is mostly silence that is waited for."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(tenants, pool.map(lambda acme: converse(acme, failure), tenants.values()), strict=True))


@pytest.fixture(params=MODELS)
def calm(request: pytest.FixtureRequest, conversations: Conversations) -> Told:
    """That of a tenant whom no failure makes call a person, once on each wire."""
    return conversations[request.param, NEVER]


@pytest.fixture(params=MODELS)
def called(request: pytest.FixtureRequest, conversations: Conversations) -> Told:
    """That of a tenant for whom one failure is enough, once on each wire."""
    return conversations[request.param, AT_ONCE]


def test_the_stream_is_what_was_said_then_one_error_and_the_end(calm: Told, failure: Failure) -> None:
    *deltas, error, done = calm.events
    assert said_by(deltas) == failure.said
    assert {delta["type"] for delta in deltas} <= {"delta"}
    assert (list(error), error["type"], done) == (["type", "message"], "error", "[DONE]")
    assert error["message"]


def test_the_customer_is_told_nothing_of_the_model(calm: Told) -> None:
    for secret in (CANARY, KEY, "127.0.0.1", "status", "silent"):
        assert secret not in str(calm.events)


def test_the_history_has_what_was_said(calm: Told, failure: Failure) -> None:
    assert (calm.reply["content"], calm.reply["metadata"]["failed"]) == (failure.said, True)
    # Without a word it is for the tenant alone.
    said = [failure.said] if failure.said else []
    assert [turn["content"] for turn in calm.history["messages"]] == [calm.message, *said]


def test_the_next_message_is_answered(calm: Told) -> None:
    assert said_by(calm.following) == "You said: Hello"


def test_where_it_calls_a_person_the_status_comes_between_the_error_and_the_end(called: Told, failure: Failure) -> None:
    *deltas, error, status, done = called.events
    assert said_by(deltas) == failure.said
    assert (error["type"], status, done) == ("error", ESCALATED, "[DONE]")
    assert called.history["status"] == "escalated"


def test_after_it_has_called_a_person_no_model_answers(called: Told) -> None:
    assert called.following == [ESCALATED, "[DONE]"]
