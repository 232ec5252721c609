"""How do processes take turns at what no row stands for?"""

from __future__ import annotations

from django.db import connection


def take_turn(key: int) -> None:
    """Until the transaction ends, nobody else takes the same turn. `key` is a number of 64 bits that says which.

    On SQLite nothing is done: the transaction itself, one at a time, sees to it.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
