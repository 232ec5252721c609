"""Whatever the receiver does, an event arrives at least once, or is a dead letter that says why."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import LazySettings
from django.db.models.functions import Now
from standardwebhooks import Webhook

from chats.changes import change_chat
from core import outbound
from core.db.executor import in_thread
from core.db.fields import Unreadable
from tests.faults.conftest import on_own_database  # noqa: F401
from tests.support.actors import Actor
from tests.support.client import SOON, eventually
from tests.support.servers import free_port
from tests.webhooks.conftest import arrivals, deliveries, new_chat, new_delivery, new_endpoint, until
from tests.webhooks.receiver import Receiver, Trap
from webhooks import claims, sender
from webhooks.models import Delivery, Endpoint
from webhooks.schedule import DELAYS
from webhooks.sender import Sender
from webhooks.signing import body_signature


async def told(actor: Actor, url: str, **fields: Any) -> Delivery:
    """A delivery to a new endpoint at this address."""
    return await in_thread(lambda: new_delivery(new_endpoint(actor, url), **fields))


async def time_passes(delivery: Delivery) -> None:
    """The delivery's next attempt is due."""
    rows = Delivery.objects.for_tenant(delivery.tenant_id).filter(id=delivery.id)
    await in_thread(rows.update, next_attempt_at=Now())


async def test_what_happens_in_a_chat_arrives_signed(real_acme: Actor, sending: Sender, receiver: Receiver) -> None:
    def happen() -> Endpoint:
        endpoint = new_endpoint(real_acme, receiver.url)
        change_chat(tenant_id=real_acme.tenant_id, chat_id=new_chat(real_acme).id, status="escalated")
        return endpoint

    endpoint = await in_thread(happen)
    await arrivals(receiver, 1)
    [arrived] = receiver.arrived
    [delivery] = await in_thread(deliveries, real_acme)
    assert arrived.json["event"] == "conversation.escalated"
    assert (arrived.id, arrived.headers["content-type"]) == (delivery.webhook_id, "application/json")
    Webhook(endpoint.secret).verify(arrived.body, arrived.headers)
    assert arrived.headers["x-lexicon-signature"] == body_signature(secret=endpoint.secret, body=arrived.body)
    await until(delivery, state="delivered", last_status=204, attempts=1)


async def test_a_commit_wakes_the_courier_of_its_process(
    real_acme: Actor, receiver: Receiver, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    monkeypatch.setattr(sender, "LOOK_SECONDS", 3600.0)
    task = asyncio.create_task(sender.run())
    await in_thread(new_endpoint, real_acme, receiver.url)
    chat = await in_thread(new_chat, real_acme)
    await asyncio.sleep(0)
    await in_thread(lambda: change_chat(tenant_id=real_acme.tenant_id, chat_id=chat.id, status="closed"))
    await arrivals(receiver, 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (500, 500, "answered 500"),
        (404, 404, "answered 404"),
        (429, 429, "answered 429"),
        ("garbage", None, "the connection broke off, or what answered does not speak HTTP"),
    ],
)
async def test_a_failed_attempt_is_made_again_under_the_same_id(
    real_acme: Actor, sending: Sender, receiver: Receiver, answer: int | str, status: int | None, why: str
) -> None:
    receiver.script = [answer]
    delivery = await told(real_acme, receiver.url)
    await until(delivery, attempts=1, last_status=status, last_error=why)
    await time_passes(delivery)
    await until(delivery, state="delivered", attempts=2, last_error="")
    assert [arrived.id for arrived in receiver.arrived] == [delivery.webhook_id] * 2
    assert receiver.arrived[0].body == receiver.arrived[1].body


async def test_a_receiver_that_is_down_gets_it_when_it_is_up(
    real_acme: Actor, sending: Sender, receiver: Receiver
) -> None:
    delivery = await told(real_acme, f"http://127.0.0.1:{free_port()}/")
    await until(delivery, attempts=1, last_error="no connection: nobody listens there")
    await in_thread(Endpoint.objects.for_tenant(real_acme.tenant_id).update, url=receiver.url)
    await time_passes(delivery)
    await until(delivery, state="delivered", attempts=2)


async def test_a_receiver_that_stays_down_is_a_dead_letter(real_acme: Actor, sending: Sender) -> None:
    delivery = await told(real_acme, f"http://127.0.0.1:{free_port()}/", attempts=len(DELAYS) - 1)
    why = "no connection: nobody listens there; it was tried 10 times over three days"
    await until(delivery, state="dead", last_status=None, last_error=why)


async def test_a_receiver_that_is_slow_counts_as_one_that_failed(
    real_acme: Actor, receiver: Receiver, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    monkeypatch.setattr(sender, "ATTEMPT_SECONDS", 0.2)
    receiver.script = ["silence"]
    delivery = await told(real_acme, receiver.url)
    task = asyncio.create_task(sender.run())
    await until(delivery, attempts=1, last_error="no answer within 0 seconds")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_slow_endpoint_holds_up_no_other(
    real_acme: Actor, sending: Sender, receiver: Receiver, other_receiver: Receiver
) -> None:
    receiver.default = "silence"
    slow = await in_thread(new_endpoint, real_acme, receiver.url)
    for _ in range(claims.OF_ONE_ENDPOINT * 3):
        await in_thread(new_delivery, slow)
    await arrivals(receiver, claims.OF_ONE_ENDPOINT)
    quick = await in_thread(new_endpoint, real_acme, other_receiver.url)
    for _ in range(claims.OF_ONE_ENDPOINT * 3):
        await in_thread(new_delivery, quick)
    await arrivals(other_receiver, claims.OF_ONE_ENDPOINT * 3)
    assert len(receiver.arrived) == claims.OF_ONE_ENDPOINT


async def test_a_redirect_is_not_followed(
    real_acme: Actor, sending: Sender, receiver: Receiver, other_receiver: Receiver
) -> None:
    receiver.script = [f"redirect:{other_receiver.url}"]
    delivery = await told(real_acme, receiver.url)
    await until(delivery, attempts=1, last_status=302, last_error="answered 302: redirects are not followed")
    assert other_receiver.arrived == []


async def test_gone_ends_it_at_once_and_switches_the_endpoint_off(
    real_acme: Actor, sending: Sender, receiver: Receiver
) -> None:
    receiver.script = [410]
    delivery = await told(real_acme, receiver.url)
    await until(delivery, state="dead", last_status=410, last_error="answered 410: it wants no webhooks any more")
    assert not await in_thread(Endpoint.objects.for_tenant(real_acme.tenant_id).filter(is_enabled=True).exists)


async def test_an_answer_without_end_is_not_read(real_acme: Actor, sending: Sender, receiver: Receiver) -> None:
    receiver.script = ["endless"]
    await until(await told(real_acme, receiver.url), state="delivered", last_status=200)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://[::1]:{port}/", "the address is not on the public internet"),
        ("http://127.0.0.1:{port}/", "the address is not on the public internet"),
        ("https://localhost:{port}/", "the address leads to an address that is not on the public internet"),
    ],
)
async def test_nothing_is_sent_to_a_forbidden_address(
    real_acme: Actor,
    sending: Sender,
    trap: Trap,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    why: str,
) -> None:
    """Such as one that was allowed when the endpoint was made."""
    settings.OUTBOUND_ALLOW = []
    monkeypatch.setattr(outbound, "PORTS", (443, trap.port))
    delivery = await told(real_acme, url.format(port=trap.port))
    await until(delivery, attempts=1, last_status=None, last_error=why)
    assert trap.accepted == 0


async def test_without_a_readable_secret_it_is_not_sent(real_acme: Actor, sending: Sender, receiver: Receiver) -> None:
    endpoint = await in_thread(new_endpoint, real_acme, receiver.url)
    unreadable = Unreadable("from another installation")
    await in_thread(Endpoint.objects.for_tenant(real_acme.tenant_id).update, secret=unreadable)
    delivery = await in_thread(new_delivery, endpoint)
    await until(delivery, attempts=1, last_error="its secret can not be read: see SECRET_KEY_FALLBACKS")
    assert receiver.arrived == []


async def test_a_certificate_that_is_not_valid_is_not_trusted(
    real_acme: Actor, sending: Sender, tmp_path: Path
) -> None:
    asked: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    delivery = await told(real_acme, f"https://127.0.0.1:{port}/")
    why = "no secure connection: the certificate is not valid, or it does not speak TLS"
    await until(delivery, attempts=1, last_error=why)
    assert b"".join(asked) == b""
    server.close()


def self_signed(folder: Path) -> Path:
    """A certificate that nobody vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "own.pem"
    path.write_bytes(key.private_bytes(*plain) + certificate)
    return path


async def test_what_was_not_answered_when_the_process_stops_is_sent_by_the_next(
    real_acme: Actor, receiver: Receiver, settings: LazySettings
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    receiver.script = ["silence"]
    first = asyncio.create_task(sender.run())
    delivery = await told(real_acme, receiver.url)
    await arrivals(receiver, 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(sender.run())
    await until(delivery, state="delivered", attempts=1)
    assert [arrived.id for arrived in receiver.arrived] == [delivery.webhook_id] * 2
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


async def test_a_failure_of_the_courier_is_not_its_end(
    real_acme: Actor, receiver: Receiver, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.05)
    real = claims.claim_due
    broken = iter([True])

    def break_once(**fields: Any) -> Any:
        if next(broken, False):
            raise RuntimeError("broken")
        return real(**fields)

    monkeypatch.setattr(claims, "claim_due", break_once)
    task = asyncio.create_task(sender.run())
    await until(await told(real_acme, receiver.url), state="delivered")
    assert "looking for webhooks failed; it goes on" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_courier_that_is_woken_as_it_is_told_to_stop_stops(
    on_own_database: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "LOOK_SECONDS", 3600.0)
    running = Sender()
    task = asyncio.create_task(running.run())

    async def waits() -> bool:
        return bool(running._woken._waiters)  # type: ignore[attr-defined]

    await eventually(waits)
    running._woken.set()
    task.cancel()
    async with asyncio.timeout(SOON):
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
