"""`/stream`: the reply in flight, from its beginning or after the event a client has."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from core.db.executor import in_thread
from tenants.credits import do_grant
from tenants.models import CreditEntry
from tests.support.actors import Actor
from tests.support.client import SOON, read_sse
from tests.websocket.conftest import Model


class Response:
    """An SSE response that is read as it comes."""

    def __init__(self, response: httpx.Response) -> None:
        self.status_code = response.status_code
        self.headers = response.headers
        self.body = b""
        self._chunks = response.aiter_raw()

    async def until(self, mark: bytes) -> None:
        """Read on until the mark was said."""
        while mark not in self.body:
            self.body += await anext(self._chunks)

    async def rest(self) -> list[tuple[int, Any]]:
        """Read to the end: all of its events."""
        async for chunk in self._chunks:
            self.body += chunk
        return read_sse(self.body)


class Customer:
    """A backend that talks to the customer API."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.client = httpx.AsyncClient(
            base_url=f"{actor.base}/api/v1/customer/conversations",
            headers={"Authorization": f"Bearer {actor.customer_key}"},
            timeout=SOON,
            verify=False,
            limits=httpx.Limits(max_connections=None),
        )

    async def open(self, method: str, path: str, **options: Any) -> Response:
        return Response(await self.client.send(self.client.build_request(method, path, **options), stream=True))


def text_of(events: list[tuple[int, Any]]) -> str:
    """What the deltas say; nothing else but [DONE] may follow them."""
    assert events[-1][1] == "[DONE]"
    return "".join(data["text"] for _, data in events[:-1])


@pytest.fixture
async def customer(acme: Actor) -> Any:
    customer = Customer(acme)
    async with customer.client:
        yield customer


async def begin(customer: Customer, model: Model) -> tuple[str, Response]:
    """A conversation whose reply is held after two words, and its POST, which has said them."""
    conversation = customer.actor.new_conversation()
    message = model.script(say="one two three four", hold=True, hold_after=2, every_ms=40)
    posted = await customer.open("POST", f"/{conversation}/messages", json={"message": message})
    await posted.until(b"two ")
    return conversation, posted


async def test_without_a_reply_there_is_nothing_to_stream(customer: Customer) -> None:
    response = await customer.client.get(f"/{customer.actor.new_conversation()}/stream")
    assert (response.status_code, response.content) == (204, b"")


async def test_the_reply_in_flight_is_told_from_its_beginning(customer: Customer, model: Model) -> None:
    conversation, posted = await begin(customer, model)
    resumed = await customer.open("GET", f"/{conversation}/stream")
    assert resumed.headers["X-Stream-Id"] == posted.headers["X-Stream-Id"]
    model.release()
    assert await resumed.rest() == await posted.rest()
    assert text_of(await resumed.rest()) == "one two three four"


@pytest.mark.parametrize("with_stream", [False, True])
async def test_the_reply_goes_on_after_the_event_the_client_has(
    customer: Customer, model: Model, with_stream: bool
) -> None:
    conversation, posted = await begin(customer, model)
    last = read_sse(posted.body)[-1][0]
    params = {"stream": posted.headers["X-Stream-Id"]} if with_stream else {}
    resumed = await customer.open("GET", f"/{conversation}/stream", params=params, headers={"Last-Event-ID": str(last)})
    model.release()
    assert await resumed.rest() == (await posted.rest())[last:]


async def test_the_stream_of_another_reply_is_204(customer: Customer, model: Model) -> None:
    conversation, _ = await begin(customer, model)
    response = await customer.client.get(f"/{conversation}/stream", params={"stream": f"{uuid.uuid4()}:1"})
    assert response.status_code == 204
    model.release()


async def test_a_reply_that_has_ended_is_204(customer: Customer, model: Model) -> None:
    conversation, posted = await begin(customer, model)
    model.release()
    await posted.rest()
    for params in ({}, {"stream": posted.headers["X-Stream-Id"]}):
        assert (await customer.client.get(f"/{conversation}/stream", params=params)).status_code == 204


async def test_a_later_try_begins_with_the_news_of_it(customer: Customer, model: Model) -> None:
    """The client names a try before this one: what it has of it is of no use."""
    conversation, posted = await begin(customer, model)
    reply_id = posted.headers["X-Stream-Id"].partition(":")[0]
    resumed = await customer.open(
        "GET", f"/{conversation}/stream", params={"stream": f"{reply_id}:0"}, headers={"Last-Event-ID": "2"}
    )
    model.release()
    restart, *events = await resumed.rest()
    assert restart == (0, {"type": "restart"})
    assert events == await posted.rest()


@pytest.mark.parametrize(
    ("params", "headers", "field"),
    [
        ({"stream": "x"}, {}, "stream"),
        ({"stream": f"{uuid.uuid4()}"}, {}, "stream"),
        ({"stream": f"{uuid.uuid4()}:{'9' * 5000}"}, {}, "stream"),
        ({}, {"Last-Event-ID": "x"}, "Last-Event-ID"),
        ({}, {"Last-Event-ID": "-1"}, "Last-Event-ID"),
    ],
)
async def test_what_names_no_event_is_refused(
    customer: Customer, params: dict[str, str], headers: dict[str, str], field: str
) -> None:
    conversation = customer.actor.new_conversation()
    response = await customer.client.get(f"/{conversation}/stream", params=params, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "INVALID_REQUEST")
    assert field in response.json()["error"]


# --- The same message, sent again ---


async def test_a_repeat_follows_the_reply_in_flight(customer: Customer, model: Model) -> None:
    conversation = customer.actor.new_conversation()
    body = {"message": model.script(say="one two three four", hold=True, hold_after=2)}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = await customer.open("POST", f"/{conversation}/messages", json=body, headers=headers)
    await first.until(b"two ")
    again = await customer.open("POST", f"/{conversation}/messages", json=body, headers=headers)
    for name in ("X-Message-Id", "X-Stream-Id"):
        assert again.headers[name] == first.headers[name]
    model.release()
    assert await again.rest() == await first.rest()
    assert len(model.calls()) == 1


async def test_a_repeat_after_the_end_is_told_the_stored_reply(customer: Customer, model: Model) -> None:
    conversation = customer.actor.new_conversation()
    body = {"message": model.script(say="one two three four")}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    path = f"/{conversation}/messages"
    first = await customer.client.post(path, json=body, headers=headers)
    again = await customer.client.post(path, json=body, headers=headers)
    assert [text_of(read_sse(answer.content)) for answer in (first, again)] == ["one two three four"] * 2
    assert len(model.calls()) == 1


async def test_the_same_key_with_another_message_is_a_conflict(customer: Customer, model: Model) -> None:
    conversation = customer.actor.new_conversation()
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    path = f"/{conversation}/messages"
    await customer.client.post(path, json={"message": model.script(say="one")}, headers=headers)
    other = await customer.client.post(path, json={"message": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")


async def test_fifty_repeats_at_once_are_one_message_one_call_and_one_charge(customer: Customer, model: Model) -> None:
    await in_thread(do_grant, tenant_id=customer.actor.tenant_id, amount=10_000)
    conversation = customer.actor.new_conversation()
    body = {"message": model.script(say="one two three")}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answers = await asyncio.gather(
        *(customer.client.post(f"/{conversation}/messages", json=body, headers=headers) for _ in range(50))
    )
    assert {answer.headers["X-Message-Id"] for answer in answers} == {answers[0].headers["X-Message-Id"]}
    for answer in answers:
        assert text_of(read_sse(answer.content)) == "one two three"
    assert len(model.calls()) == 1
    assert len(customer.actor.customer("GET", f"/{conversation}/messages").json()["messages"]) == 2

    charges = CreditEntry.objects.for_tenant(customer.actor.tenant_id).filter(reason="reply")
    assert await in_thread(charges.count) == 1
