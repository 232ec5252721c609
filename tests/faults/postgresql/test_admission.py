"""No socket waits for another one's admission, nor for money to be counted, and still no place is given twice."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, transaction

from chats.chats import do_create_chat
from chats.connections import Parameters, open_connection
from chats.models import Chat, Connection, Process
from core.errors import CONNECTION_LIMIT_EXCEEDED, ApiError
from tenants.models import Account, Tenant
from tests.support.actors import Actor

SOON = 30


class Door:
    """Lets sockets in, each on a chat of its own."""

    def __init__(self, acme: Actor) -> None:
        self.acme = acme
        self.process_id = Process.objects.create().id
        self.user = do_create_chat(tenant_id=acme.tenant_id, user_id="alice", metadata={}).user

    def enter(self) -> uuid.UUID | None:
        """Let one in: its id, or None where the tenant has all it may."""
        chat = Chat.objects.create(tenant_id=self.acme.tenant_id, user=self.user)
        connection_id = uuid.uuid4()
        parameters = Parameters(self.acme.tenant_key, "alice", str(chat.id))
        try:
            open_connection(parameters=parameters, connection_id=connection_id, process_id=self.process_id)
        except ApiError as error:
            if error.kind is not CONNECTION_LIMIT_EXCEEDED:
                raise
            return None
        return connection_id

    def elsewhere(self, *arguments: Any) -> uuid.UUID | None:
        """The same on a connection of its own, for another thread."""
        try:
            return self.enter()
        finally:
            connections.close_all()


@pytest.fixture
def door(acme: Actor) -> Door:
    return Door(acme)


def test_an_admission_waits_for_no_other_and_not_for_the_account(door: Door) -> None:
    Tenant.objects.filter(id=door.acme.tenant_id).update(ws_connections=1_000_000)
    # The use of the key is noted, once a minute.
    assert door.enter() is not None
    with ThreadPoolExecutor(1) as elsewhere, transaction.atomic():
        Account.objects.select_for_update().get(tenant_id=door.acme.tenant_id)
        assert door.enter() is not None
        assert elsewhere.submit(door.elsewhere).result(SOON) is not None


@pytest.mark.parametrize("places", [7, 100])
def test_of_many_at_once_as_many_are_let_in_as_there_are_places(door: Door, places: int) -> None:
    Tenant.objects.filter(id=door.acme.tenant_id).update(ws_connections=places)
    with ThreadPoolExecutor(8) as elsewhere:
        entered = list(elsewhere.map(door.elsewhere, range(places + 20)))
    assert len(entered) - entered.count(None) == places
    held = Connection.objects.for_tenant(door.acme.tenant_id).values_list("slot", flat=True)
    assert sorted(held) == list(range(1, places + 1))


def test_of_many_at_once_beside_those_of_the_version_before(door: Door) -> None:
    Tenant.objects.filter(id=door.acme.tenant_id).update(ws_connections=30)
    with ThreadPoolExecutor(8) as elsewhere:
        entered = list(elsewhere.map(door.elsewhere, range(20)))
        assert None not in entered
        # Half of them, spread over the numbers, become what the version before stores.
        Connection.objects.for_tenant(door.acme.tenant_id).filter(id__in=entered[::2]).update(slot=None)
        entered = list(elsewhere.map(door.elsewhere, range(20)))
    assert len(entered) - entered.count(None) == 10
