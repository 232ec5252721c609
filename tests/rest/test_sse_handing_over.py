"""Guarantee 9 on the customer API by every cause: how the stream ends, and what comes after it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.rest.wire import said_by
from tests.support.actors import Actor
from tests.support.client import read_sse, script
from tests.support.escalation_causes import CAUSES

NewActor = Callable[..., Actor]
ESCALATED = {"type": "status", "status": "escalated"}


@pytest.mark.parametrize("name", CAUSES)
def test_the_stream_ends_with_the_status_and_the_agent_is_silent_afterwards(live: NewActor, name: str) -> None:
    cause = CAUSES[name](script)
    acme = live("Acme", **cause.policy)
    conversation_id = acme.new_conversation()
    path = f"/{conversation_id}/messages"

    def post(message: str) -> list[object]:
        answer = acme.customer("POST", path, json={"message": message})
        assert answer.status_code == 200
        return [data for _, data in read_sse(answer.content)]

    for message in cause.messages[:-1]:
        assert ESCALATED not in post(message)
    *said, status, done = post(cause.messages[-1])
    assert (status, done) == (ESCALATED, "[DONE]")
    if cause.says is None:
        [error] = said
        assert error["type"] == "error"  # type: ignore[index]
    else:
        assert said_by(said).endswith(cause.says)
    assert acme.customer("GET", path).json()["status"] == "escalated"

    assert post("Are you there?") == [ESCALATED, "[DONE]"]
    stored = acme.rest("GET", f"{path}?order=desc&limit=1").json()["messages"]
    assert [row["content"] for row in stored] == ["Are you there?"]


def test_a_failure_that_calls_nobody_ends_with_the_error(live: NewActor) -> None:
    acme = live("Acme", model="openai:test")
    answer = acme.customer("POST", f"/{acme.new_conversation()}/messages", json={"message": script(fail="http-500")})
    assert [data if data == "[DONE]" else data["type"] for _, data in read_sse(answer.content)] == ["error", "[DONE]"]
