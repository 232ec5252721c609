"""How does everything move from SQLite to PostgreSQL?

Every row of every table, as the migrations describe the tables: columns and nothing else, so that no model's own
code reads, encrypts or dates anything anew. One transaction writes, and before it is committed every table is read
back and compared. The source stays as it is, and nobody can write to it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import dj_database_url
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from chats.models import Process
from knowledge import pgvector

#: Rows that are in memory at once.
BATCH = 1000
#: The other database's name while it is being filled.
TARGET = "target"
#: Rows that `migrate` makes by itself; they are replaced by the source's, whose ids others refer to.
_MADE_BY_MIGRATE = ("django_content_type", "auth_permission")


class MoveError(Exception):
    """Nothing was moved. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds: how many rows, and a sum over their hashes that knows no order."""

    rows: int
    checksum: int


def move(*, url: str, tell: Callable[[str, int], None]) -> None:
    """Copy the default database, a SQLite file, into the empty PostgreSQL database at `url`.

    `tell` hears of each table and its number of rows. Raises MoveError; then the target holds no row.
    """
    source = connections["default"]
    if source.vendor != "sqlite":
        raise MoveError("The database in use is not SQLite. DATABASE_URL says which it is.")
    if _is_behind(source):
        raise MoveError("Migrations are missing in the database in use: run manage.py migrate first.")
    with _connected(url) as target, transaction.atomic(using="default"):
        # From here on nobody can write to the source (settings: a transaction begins IMMEDIATE).
        if Process.objects.living().exists():
            raise MoveError(
                "A process still serves from this database. Stop it; if it died, wait for its lease to run out."
            )
        tables = _tables(source)
        call_command("migrate", database=TARGET, verbosity=0, interactive=False)
        _check_empty(target, tables)
        with transaction.atomic(using=TARGET), target.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            for name in reversed(_MADE_BY_MIGRATE):
                cursor.execute(f'DELETE FROM "{name}"')
            for model in tables:
                content = _copy(model, source, cursor)
                _take_sequence(model, source, cursor)
                if content != _read(model, target):
                    raise MoveError(f"{model._meta.db_table} is not the same afterwards. Nothing was moved.")
                tell(model._meta.db_table, content.rows)
            pgvector.fill(TARGET)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


# --- Before ---


@contextmanager
def _connected(url: str) -> Iterator[BaseDatabaseWrapper]:
    try:
        parsed = dj_database_url.parse(url)
    except ValueError as error:
        raise MoveError(f"{error} Write it like postgres://user:password@host:5432/name.") from error
    if parsed["ENGINE"] != "django.db.backends.postgresql":
        raise MoveError("The target is no PostgreSQL: write it like postgres://user:password@host:5432/name.")
    connections.settings[TARGET] = connections.configure_settings({"default": {}, TARGET: parsed})[TARGET]
    target = connections[TARGET]
    try:
        target.ensure_connection()
        yield target
    except OperationalError as error:
        raise MoveError(f"A database does not answer: {str(error).strip()}") from error
    except DatabaseError as error:
        # Its text names the table, the line and the column.
        raise MoveError(f"The target does not take a row of the source: {str(error).strip()}") from error
    finally:
        target.close()
        del connections[TARGET], connections.settings[TARGET]


def _is_behind(connection: BaseDatabaseWrapper) -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _tables(source: BaseDatabaseWrapper) -> list[type[models.Model]]:
    """Every table, as a bare model, after those it refers to. Raises MoveError where one belongs to no model."""
    apps = MigrationExecutor(source).loader.project_state().apps
    found = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    known = {model._meta.db_table for model in found} | {"django_migrations"}
    if strange := sorted(set(source.introspection.table_names()) - known):
        raise MoveError(f"Nobody knows these tables of the source: {', '.join(strange)}. Drop them, or move by hand.")
    return sorted(found, key=_depth)


def _depth(model: type[models.Model], seen: tuple[type[models.Model], ...] = ()) -> int:
    """How long the longest chain of references is that begins at a table."""
    others = {field.related_model for field in model._meta.local_concrete_fields if field.related_model is not None}
    return max((1 + _depth(other, (*seen, model)) for other in others - {*seen, model}), default=0)


def _check_empty(target: BaseDatabaseWrapper, tables: list[type[models.Model]]) -> None:
    for model in tables:
        if model._meta.db_table not in _MADE_BY_MIGRATE and model._base_manager.using(target.alias).exists():
            raise MoveError(f"The target is not empty: {model._meta.db_table} has rows. Name an empty database.")


# --- Rows ---


def _columns(model: type[models.Model]) -> list[models.Field]:
    return [field for field in model._meta.local_concrete_fields if not field.generated]


def _rows(model: type[models.Model], alias: str) -> Iterator[tuple[Any, ...]]:
    names = [field.attname for field in _columns(model)]
    return model._base_manager.using(alias).values_list(*names).iterator(chunk_size=BATCH)


def _copy(model: type[models.Model], source: BaseDatabaseWrapper, cursor: Any) -> Content:
    """Write a table's rows into the target, and say what they were in the source."""
    columns = _columns(model)
    named = ", ".join(f'"{field.column}"' for field in columns)
    count = checksum = 0
    statement = f'COPY "{model._meta.db_table}" ({named}) FROM STDIN'
    # Django wraps the errors of its own calls only.
    with cursor.db.wrap_database_errors, cursor.copy(statement) as copy:
        for row in _rows(model, source.alias):
            given = zip(columns, row, strict=True)
            copy.write_row([field.get_db_prep_save(value, connections[TARGET]) for field, value in given])
            count, checksum = count + 1, _add(checksum, row)
    return Content(count, checksum)


def _read(model: type[models.Model], connection: BaseDatabaseWrapper) -> Content:
    count = checksum = 0
    for row in _rows(model, connection.alias):
        count, checksum = count + 1, _add(checksum, row)
    return Content(count, checksum)


def _add(checksum: int, row: tuple[Any, ...]) -> int:
    plain = [value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for value in row]
    digest = blake2b(repr(plain).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return (checksum + int.from_bytes(digest)) % 2**128


def _take_sequence(model: type[models.Model], source: BaseDatabaseWrapper, cursor: Any) -> None:
    """Let the target number its next row as the source would have."""
    column = model._meta.auto_field.column if model._meta.auto_field else None
    if column is None or model._meta.auto_field not in model._meta.local_fields:
        return
    table = model._meta.db_table
    with source.cursor() as asked:
        # https://sqlite.org/autoinc.html: the largest number a table with AUTOINCREMENT ever gave.
        asked.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        row = asked.fetchone()
    last = row[0] if row else 0
    cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)", [f'"{table}"', column, last or 1, last > 0])
