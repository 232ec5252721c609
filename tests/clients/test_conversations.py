"""The customer API, sync and async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from chats.models import Chat
from lexicon_client import AsyncCustomerClient, CustomerClient, IdempotencyConflict
from tests.support.actors import Actor
from tests.websocket.conftest import Model

WORDS = "one two three four five six"


def test_a_reply_is_streamed(customer: CustomerClient, model: Model) -> None:
    conversation = customer.create_conversation(customer_identifier="alice", metadata={"a": 1})
    stream = customer.send_message(conversation, model.script(say=WORDS, every_ms=30))
    tokens = list(stream)
    assert len(tokens) > 1
    assert "".join(tokens) == stream.text == WORDS
    assert stream.message_id
    history = customer.history(conversation)
    assert [(turn.role, turn.content) for turn in history.turns][1] == ("assistant", WORDS)
    assert history.status == "active"


async def test_a_reply_is_streamed_in_an_event_loop(async_customer: AsyncCustomerClient, model: Model) -> None:
    conversation = await async_customer.create_conversation()
    stream = async_customer.send_message(conversation, model.script(say=WORDS, every_ms=30))
    assert "".join([token async for token in stream]) == stream.text == WORDS
    assert (await async_customer.history(conversation)).turns[1].content == WORDS


def test_the_same_key_is_one_message_and_another_one_a_conflict(customer: CustomerClient, model: Model) -> None:
    conversation = customer.create_conversation()
    message = model.script(say=WORDS)
    first, again = (customer.send_message(conversation, message, idempotency_key="once") for _ in range(2))
    assert first.read() == again.read() == WORDS
    assert first.message_id == again.message_id
    assert len(model.calls()) == 1
    with pytest.raises(IdempotencyConflict):
        customer.send_message(conversation, "other", idempotency_key="once").read()


def test_a_conversation_with_a_person_gets_no_reply(customer: CustomerClient, acme: Actor) -> None:
    conversation = customer.create_conversation()
    Chat.objects.for_tenant(acme.tenant_id).filter(id=conversation).update(status=Chat.Status.ESCALATED)
    stream = customer.send_message(conversation, "Is anybody there?")
    assert stream.read() == ""
    assert stream.escalated


class CutStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response that breaks after so many bytes."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, left: int) -> None:
        self.stream, self.left = stream, left

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self.stream, httpx.SyncByteStream)
        for chunk in self.stream:
            yield self._take(chunk)
            if self.left <= 0:
                raise httpx.ReadError("cut by the test")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self.stream, httpx.AsyncByteStream)
        async for chunk in self.stream:
            yield self._take(chunk)
            if self.left <= 0:
                raise httpx.ReadError("cut by the test")

    def _take(self, chunk: bytes) -> bytes:
        taken = chunk[: self.left]
        self.left -= len(chunk)
        return taken

    def close(self) -> None:
        assert isinstance(self.stream, httpx.SyncByteStream)
        self.stream.close()

    async def aclose(self) -> None:
        assert isinstance(self.stream, httpx.AsyncByteStream)
        await self.stream.aclose()


class Cutting(httpx.HTTPTransport):
    """A network that breaks every streamed response after so many bytes, at first."""

    def __init__(self, after: int, cuts: int) -> None:
        super().__init__()
        self.after, self.cuts = after, cuts
        self.asked: list[tuple[str, int, str | None]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.url.path.endswith(("/messages", "/stream")):
            self.asked.append((request.method, response.status_code, request.headers.get("Last-Event-ID")))
            if self.cuts and response.status_code == 200:
                self.cuts -= 1
                assert isinstance(response.stream, httpx.SyncByteStream)
                response.stream = CutStream(response.stream, self.after)
        return response


def over(customer: CustomerClient, network: Cutting) -> CustomerClient:
    customer._transport.http.close()
    customer._transport.http = httpx.Client(
        base_url=customer._transport.http.base_url, headers=customer._transport.http.headers, transport=network
    )
    return customer


@pytest.mark.parametrize("after", [1, 40, 60, 100, 137])
def test_a_reply_in_flight_goes_on_after_a_cut(customer: CustomerClient, model: Model, after: int) -> None:
    network = Cutting(after, cuts=3)
    conversation = customer.create_conversation()
    text = " ".join(f"word{number}" for number in range(30))
    stream = over(customer, network).send_message(conversation, model.script(say=text, every_ms=100))
    tokens = list(stream)
    assert "".join(tokens) == text
    assert not any(token.restart for token in tokens)
    assert network.asked[0][0] == "POST"
    assert ("GET", 200) in [asked[:2] for asked in network.asked]
    assert len(model.calls()) == 1


def test_a_reply_that_ended_meanwhile_is_told_by_the_same_post(customer: CustomerClient, model: Model) -> None:
    conversation = customer.create_conversation()
    message = model.script(say=WORDS)
    customer.send_message(conversation, message, idempotency_key="once").read()
    network = Cutting(60, cuts=1)
    assert over(customer, network).send_message(conversation, message, idempotency_key="once").read() == WORDS
    assert [asked[:2] for asked in network.asked] == [("POST", 200), ("GET", 204), ("POST", 200)]
    assert len(model.calls()) == 1
