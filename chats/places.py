"""Which of its tenant's places does a WebSocket take?

Places are numbered from 1 to as many as the tenant has, and the database lets no two sockets have the same: that keeps
the limit, at any concurrency, and nobody counts or waits. Visitors of the page have numbers of their own. A few numbers
are drawn, and a free one of them is taken by one statement, however many sockets are open.

Numbers do not tell of everything: a limit that was lowered leaves sockets beyond it, a version before gave none, and
who is dead keeps its number until somebody needs it. Then, and where none of those drawn is free, the sockets are
counted, one admission after the other. With so many places left, the so many lowest free numbers may be taken: then
no more sockets are open than places there are, whatever the others draw meanwhile.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet, Value

from chats.models import Connection, Process
from core.db.advisory_lock import take_turn
from core.db.statements import Param, Select

#: How many numbers are drawn: all that most tenants have, and of thousands enough to find a free one.
DRAWN = 64


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a socket that wants in."""

    #: Open sockets of visitors of its address.
    neighbours: int
    #: Whether sockets are open that have none of the numbers there are.
    counts: bool


def look_around(row: Connection, *, places: int, bounded: bool) -> Surroundings:
    """What stands around `row`. Where its address is `bounded`, no other of the address is let in meanwhile.

    Needs a transaction.
    """
    given: dict[str, Any] = {"tenant_id": row.tenant_id, "of_visitor": row.of_visitor, "places": places}
    if bounded:
        assert row.network is not None
        _take_turn(row.tenant_id, row.network)
        given["network"] = row.network
    found = _AROUND[bounded].all(**given)
    return Surroundings(found.count(True), False in found)


def take_place(row: Connection, *, places: int, counts: bool) -> bool:
    """Store a connection in one of so many places; False where none is free. `counts`: see Surroundings.

    Needs a transaction, which does nothing after it that waits for others.
    """
    if places and not counts and _store(row, random.sample(range(1, places + 1), min(places, DRAWN))):
        return True
    _take_turn(row.tenant_id, row.of_visitor)
    while True:
        # Each time: a process may die between the two readings.
        _free_the_dead(row)
        if not (numbers := _permitted(row, places)):
            return False
        # All of them may have been taken since they were read, by others who are in.
        if _store(row, numbers):
            return True


def _around(bounded: bool) -> Any:
    """Of each living socket that has no number there is: False. Of each of the address, where that counts: True."""
    living = _living(Param("tenant_id"), Param("of_visitor")).annotate(is_neighbour=Value(False))
    kinds = [living.filter(slot=None), living.filter(slot__gt=Param("places"))]
    if bounded:
        of_address = _living(Param("tenant_id"), Param("of_visitor")).filter(network=Param("network"))
        kinds.append(of_address.annotate(is_neighbour=Value(True)))
    # Not one condition: each has an index of its own.
    first, *others = (kind.values_list("is_neighbour", flat=True) for kind in kinds)
    return first.union(*others, all=True)


def _living(tenant_id: uuid.UUID | Param, of_visitor: bool | Param) -> QuerySet[Connection]:
    return Connection.objects.for_tenant(tenant_id).filter(
        of_visitor=of_visitor, process__in=Process.objects.living().values("id")
    )


_AROUND: dict[bool, Select[bool]] = {
    False: Select(lambda: _around(False)),
    True: Select(lambda: _around(True)),
}


def _store(row: Connection, numbers: list[int]) -> bool:
    """Store the connection under the first of the numbers that is free; whether one was."""
    fields = [field for field in Connection._meta.concrete_fields if field.name != "slot"]
    values = {field.attname: field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields}
    columns = ", ".join(f'"{field.column}"' for field in fields)
    # PostgreSQL does not guess the type of a value that is only selected; SQLite's CAST would make a year of a date.
    # And a list is one value there: psycopg takes apart anew each statement that has so many.
    given: list[Any]
    if connection.vendor == "sqlite":
        selected = ", ".join("%s" for _ in fields)
        drawn, given = f"(VALUES {', '.join(['(%s)'] * len(numbers))})", numbers
    else:
        selected = ", ".join(f"CAST(%s AS {field.db_type(connection)})" for field in fields)
        drawn, given = "(SELECT unnest(%s::integer[]) AS column1)", [numbers]
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "chats_connection" ({columns}, "slot") '
            f"SELECT {selected}, drawn.column1 FROM {drawn} AS drawn "
            'WHERE NOT EXISTS (SELECT 1 FROM "chats_connection" AS taken WHERE taken."tenant_id" = %s '
            'AND taken."of_visitor" = %s AND taken."slot" = drawn.column1) LIMIT 1 ON CONFLICT DO NOTHING',
            [*values.values(), *given, values["tenant_id"], values["of_visitor"]],
        )
        return cursor.rowcount == 1


def _free_the_dead(row: Connection) -> None:
    """Take their numbers from the sockets of processes that are dead.

    The rows stay: a process that was only frozen has its sockets still, and they count again.
    """
    held = Connection.objects.for_tenant(row.tenant_id).filter(of_visitor=row.of_visitor, slot__isnull=False)
    dead = held.exclude(process__in=Process.objects.living().values("id"))
    # One that is being deleted frees its number by itself.
    ids = list(dead.select_for_update(skip_locked=True, of=("self",)).values_list("id", flat=True))
    if ids:
        held.filter(id__in=ids).update(slot=None)


def _permitted(row: Connection, places: int) -> list[int]:
    """Numbers that may be taken, in any order; none where as many sockets are open as there are places."""
    taken = list(_living(row.tenant_id, row.of_visitor).values_list("slot", flat=True))
    left = places - len(taken)
    numbers: list[int] = []
    used = set(taken)
    number = 0
    while len(numbers) < min(left, DRAWN):
        number += 1
        if number not in used:
            numbers.append(number)
    random.shuffle(numbers)
    return numbers


def _take_turn(*what: uuid.UUID | bool) -> None:
    """Until the transaction ends, nobody else admits a socket of the same."""
    digest = hashlib.blake2b(f"places {what}".encode(), digest_size=8).digest()
    take_turn(int.from_bytes(digest, signed=True))
