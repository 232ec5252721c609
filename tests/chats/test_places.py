"""As many sockets are let in as the tenant has places, whatever was open before."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from chats import places
from chats.connections import Parameters, do_close_connection, open_connection
from chats.models import Chat, Connection, Process
from core.addresses import network_id
from core.errors import CONNECTION_LIMIT_EXCEEDED, ApiError
from tenants.models import ApiKey, Tenant
from tests.chats.conftest import die
from tests.support.actors import Actor

ADDRESS = "203.0.113.7"

Enter = Callable[..., uuid.UUID | None]


@pytest.fixture
def enter(acme: Actor, chat: Chat, process: uuid.UUID) -> Enter:
    """Let one socket in: its id, or None where it was refused."""

    def enter(process_id: uuid.UUID = process) -> uuid.UUID | None:
        connection_id = uuid.uuid4()
        parameters = Parameters(acme.tenant_key, "alice", str(chat.id))
        try:
            open_connection(parameters=parameters, connection_id=connection_id, process_id=process_id)
        except ApiError as error:
            if error.kind is not CONNECTION_LIMIT_EXCEEDED:
                raise
            return None
        return connection_id

    return enter


@pytest.fixture
def limit(acme: Actor) -> Callable[[int], None]:
    """Say how many places the tenant has."""
    return lambda places: Tenant.objects.filter(id=acme.tenant_id).update(ws_connections=places) and None


@pytest.fixture
def of_before(acme: Actor, chat: Chat, process: uuid.UUID) -> Callable[[], None]:
    """Let one socket in as the version before did: without a number."""
    key = ApiKey.objects.for_tenant(acme.tenant_id).get(kind="tenant")
    return lambda: Connection.objects.create(
        process_id=process, tenant_id=acme.tenant_id, chat=chat, user=chat.user, key=key
    )  # type: ignore[func-returns-value]


def numbers(acme: Actor) -> list[int | None]:
    return sorted(Connection.objects.for_tenant(acme.tenant_id).values_list("slot", flat=True), key=lambda n: n or 0)


@pytest.mark.parametrize("most", [0, 1, 3, places.DRAWN + 3])
def test_as_many_are_let_in_as_there_are_places(
    enter: Enter, limit: Callable[[int], None], acme: Actor, most: int
) -> None:
    limit(most)
    entered = [enter() for _ in range(most + 2)]
    assert [id is not None for id in entered] == [True] * most + [False] * 2
    assert numbers(acme) == list(range(1, most + 1))


def test_a_place_is_taken_again(enter: Enter, limit: Callable[[int], None]) -> None:
    limit(2)
    left, _ = enter(), enter()
    assert left is not None
    assert enter() is None
    do_close_connection(left)
    assert enter() is not None
    assert enter() is None


def test_a_limit_that_was_lowered_counts_all_that_are_open(enter: Enter, limit: Callable[[int], None]) -> None:
    limit(10)
    entered = [enter() for _ in range(10)]
    limit(4)
    for id in entered[:6]:
        assert enter() is None
        assert id is not None
        do_close_connection(id)
    assert enter() is None
    assert entered[6] is not None
    do_close_connection(entered[6])
    assert enter() is not None
    assert enter() is None


def test_a_limit_that_was_raised_holds_at_once(enter: Enter, limit: Callable[[int], None]) -> None:
    limit(1)
    assert (enter() is not None, enter()) == (True, None)
    limit(2)
    assert (enter() is not None, enter()) == (True, None)


def test_sockets_of_the_version_before_count(
    enter: Enter, limit: Callable[[int], None], of_before: Callable[[], None], acme: Actor
) -> None:
    limit(4)
    assert enter() is not None
    of_before()
    assert enter() is not None
    of_before()
    assert enter() is None
    assert numbers(acme).count(None) == 2


def test_the_places_of_a_dead_process_are_free(
    enter: Enter, limit: Callable[[int], None], process: uuid.UUID, other_process: uuid.UUID
) -> None:
    limit(2)
    assert None not in (enter(), enter())
    die(process)
    assert [enter(other_process) is not None for _ in range(3)] == [True, True, False]


def test_a_process_may_die_while_its_places_are_looked_for(
    enter: Enter,
    limit: Callable[[int], None],
    process: uuid.UUID,
    other_process: uuid.UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit(2)
    assert None not in (enter(), enter())
    free = places._free_the_dead
    found_alive: list[bool] = []

    def free_and_die(row: Connection) -> None:
        free(row)
        if not found_alive:
            found_alive.append(True)
            die(process)

    monkeypatch.setattr(places, "_free_the_dead", free_and_die)
    assert enter(other_process) is not None
    assert found_alive


def test_the_sockets_of_a_process_that_was_only_frozen_count_again(
    enter: Enter, limit: Callable[[int], None], process: uuid.UUID, other_process: uuid.UUID
) -> None:
    limit(2)
    assert None not in (enter(), enter())
    die(process)
    second = enter(other_process)
    assert second is not None
    Process.objects.filter(id=process).update(beat_at=Process.objects.get(id=other_process).beat_at)
    assert enter(other_process) is None
    do_close_connection(second)
    assert enter(other_process) is None


def _around(acme: Actor, process: uuid.UUID, chat: Chat, **fields: Any) -> Connection:
    key = ApiKey.objects.for_tenant(acme.tenant_id).get(kind="tenant")
    return Connection(process_id=process, tenant_id=acme.tenant_id, chat=chat, user=chat.user, key=key, **fields)


def test_visitors_have_places_of_their_own(acme: Actor, process: uuid.UUID, chat: Chat) -> None:
    for of_visitor in (False, True):
        for expected in (True, True, False):
            row = _around(acme, process, chat, of_visitor=of_visitor)
            assert places.take_place(row, places=2, counts=False) == expected


def test_the_sockets_of_an_address_are_counted_apart(
    acme: Actor, process: uuid.UUID, other_process: uuid.UUID, chat: Chat
) -> None:
    here = {"of_visitor": True, "network": network_id(ADDRESS)}
    elsewhere = {"of_visitor": True, "network": network_id("203.0.113.8")}
    for owner, fields in ((process, here), (process, here), (other_process, here), (process, elsewhere)):
        assert places.take_place(_around(acme, owner, chat, **fields), places=9, counts=False)
    die(other_process)
    newcomer = _around(acme, process, chat, **here)
    assert places.look_around(newcomer, places=9, bounded=True) == places.Surroundings(2, False)
    assert places.look_around(newcomer, places=9, bounded=False) == places.Surroundings(0, False)
