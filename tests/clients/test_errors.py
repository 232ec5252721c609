"""Every failure is a class, and the client's table is the service's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import lexicon_client
from core import errors
from lexicon_client import (
    AgentError,
    AuthError,
    Client,
    CustomerClient,
    PaymentRequired,
    RateLimitExceeded,
    Unreachable,
    WrongKeyType,
)
from lexicon_client.backoff import STEPS, Backoff
from tenants.models import Tenant
from tests.support.actors import Actor
from tests.support.servers import free_port
from tests.websocket.conftest import Model


def test_the_table_is_the_service_s_own() -> None:
    ours = {code: kind.default_fix for code, kind in lexicon_client.ERRORS.items()}
    assert ours == {kind.code: kind.fix for kind in errors.ERRORS}


@pytest.mark.parametrize("code", lexicon_client.ERRORS)
def test_each_class_is_named_like_its_code_and_exported(code: str) -> None:
    kind = lexicon_client.ERRORS[code]
    assert kind.__name__ == code.title().replace("_", "")
    assert getattr(lexicon_client, kind.__name__) is kind
    assert kind.__name__ in lexicon_client.__all__


def test_a_wrong_key_says_what_to_do(acme: Actor) -> None:
    with Client(acme.base, "lxt_wrong") as client, pytest.raises(AuthError) as refused:
        client.list_chats()
    assert (refused.value.status, refused.value.fix) == (401, errors.AUTH_ERROR.fix)
    with CustomerClient(acme.base, acme.tenant_key) as client, pytest.raises(WrongKeyType) as wrong:
        client.create_conversation()
    assert (wrong.value.status, wrong.value.fix) == (403, errors.WRONG_KEY_TYPE.fix)


def test_a_session_that_is_refused_raises_why(acme: Actor, client: Client) -> None:
    chat = client.create_chat("alice")
    with Client(acme.base, "lxt_wrong") as wrong, pytest.raises(AuthError), wrong.session(chat.id, "alice"):
        pass
    with pytest.raises(lexicon_client.InvalidRequest) as refused, client.session(chat.id, "x" * 300):
        pass
    assert refused.value.status == 4400


def test_a_rate_limit_says_how_long_to_wait(live: Callable[..., Actor]) -> None:
    acme = live("Acme", rest_per_minute=1)
    with Client(acme.base, acme.tenant_key) as client:
        client.list_chats()
        with pytest.raises(RateLimitExceeded) as refused:
            client.list_chats()
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 60


@pytest.fixture
def unpaid(live: Callable[..., Actor]) -> Actor:
    acme = live("Acme", model="openai:test")
    Tenant.objects.filter(id=acme.tenant_id).update(subscription_active=False)
    return acme


def test_a_message_that_is_refused_raises_at_its_stream(unpaid: Actor) -> None:
    with Client(unpaid.base, unpaid.tenant_key) as client:
        chat = client.create_chat("alice")
        with client.session(chat.id, "alice") as session:
            with pytest.raises(PaymentRequired):
                session.send("hello").read()
            with pytest.raises(PaymentRequired):
                session.send("hello").acknowledged()
    with CustomerClient(unpaid.base, unpaid.customer_key) as customer, pytest.raises(PaymentRequired) as refused:
        customer.send_message(customer.create_conversation(), "hello").read()
    assert refused.value.status == 402


def test_a_reply_that_failed_raises_at_its_end(client: Client, customer: CustomerClient, model: Model) -> None:
    chat = client.create_chat("alice")
    failing = model.script(say="one two three four", fail="close", after=2, done=False)
    with client.session(chat.id, "alice") as session:
        stream = session.send(failing)
        with pytest.raises(AgentError):
            stream.read()
        assert stream.reply is not None
        assert stream.reply.failed
        assert stream.text == stream.reply.content
    told = customer.send_message(customer.create_conversation(), failing)
    with pytest.raises(AgentError):
        told.read()
    assert told.text == stream.text


def test_what_does_not_answer_is_tried_again_and_then_unreachable() -> None:
    with Client(f"http://127.0.0.1:{free_port()}", "lxt_x", attempts=3) as client, pytest.raises(Unreachable) as failed:
        client.list_chats()
    assert failed.value.fix


def test_the_waits_are_anything_up_to_a_bound_that_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexicon_client.backoff.STEPS", STEPS)
    bounds = []
    monkeypatch.setattr("random.uniform", lambda least, most: bounds.append((least, most)) or 0.5)
    backoff = Backoff(8)
    assert [backoff.wait(ValueError(), least=2) for _ in range(7)] == [2.5] * 7
    assert bounds == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (0, 16), (0, 16)]
    with pytest.raises(ValueError):
        backoff.wait(ValueError())
    backoff.reset()
    backoff.wait(ValueError())
    assert bounds[-1] == (0, 1)
