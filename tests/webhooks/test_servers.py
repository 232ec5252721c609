"""A server that dies or has neighbours still tells everything: shown on real processes."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable

from core.db.executor import in_thread
from tests.support.actors import Actor
from tests.support.servers import Server
from tests.webhooks.conftest import arrivals, new_delivery, new_endpoint, until
from tests.webhooks.receiver import Receiver
from webhooks.models import Delivery

NewServer = Callable[..., Server]
LOOPBACK = {"OUTBOUND_ALLOW": "127.0.0.1"}


async def test_what_was_committed_before_a_kill_arrives_after_the_next_start(
    real_acme: Actor, new_server: NewServer, receiver: Receiver
) -> None:
    """The receiver keeps silent until the server is dead, so that it dies between the commit and the delivery."""
    receiver.default = "silence"
    server = await in_thread(new_server, **LOOPBACK)
    real_acme.base = server.http
    await in_thread(new_endpoint, real_acme, receiver.url, ["message.created"])
    chat = await in_thread(real_acme.new_chat)
    socket = await real_acme.join(chat)
    await socket.send({"content": "hello"})
    message_id = (await socket.until("message_received"))["message_id"]
    server.kill()
    receiver.default = 204
    await in_thread(new_server, port=str(server.port), **LOOPBACK)

    def read() -> Delivery:
        rows = Delivery.objects.for_tenant(real_acme.tenant_id)
        return rows.get(body__contains=f'"id":"{message_id}"', body__startswith='{"event":"message.created"')

    delivery = await until(await in_thread(read), state="delivered")
    told = [arrived for arrived in receiver.arrived if message_id in str(arrived.json["messages"])]
    assert {arrived.id for arrived in told} == {delivery.webhook_id}


async def test_two_servers_share_the_work_without_doubles(
    real_acme: Actor, new_server: NewServer, receiver: Receiver
) -> None:
    for _ in range(2):
        await in_thread(new_server, **LOOPBACK)
    endpoint = await in_thread(new_endpoint, real_acme, receiver.url)
    for _ in range(40):
        await in_thread(new_delivery, endpoint)
    await arrivals(receiver, 40)
    rows = Delivery.objects.for_tenant(real_acme.tenant_id)
    for delivery in await in_thread(list, rows):
        await until(delivery, state="delivered")
    assert set(Counter(arrived.id for arrived in receiver.arrived).values()) == {1}


async def test_a_server_that_stops_in_good_order_gives_back_what_was_not_answered(
    real_acme: Actor, new_server: NewServer, receiver: Receiver
) -> None:
    receiver.default = "silence"
    server = await in_thread(new_server, **LOOPBACK)
    endpoint = await in_thread(new_endpoint, real_acme, receiver.url)
    delivery = await in_thread(new_delivery, endpoint)
    await arrivals(receiver, 1)
    server.signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.terminate) == 0
    await until(delivery, state="pending", attempts=0)


async def test_nothing_is_sent_to_this_machine_unless_it_is_allowed(
    real_acme: Actor, new_server: NewServer, receiver: Receiver
) -> None:
    await in_thread(new_server)
    endpoint = await in_thread(new_endpoint, real_acme, receiver.url)
    delivery = await in_thread(new_delivery, endpoint)
    await until(delivery, attempts=1, last_error="the address is not on the public internet")
    assert receiver.arrived == []
