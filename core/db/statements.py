"""How is a statement that runs with every message compiled only once?

Django builds a query and compiles it to SQL anew each time it is asked: of the processor time of a message with its
reply, that was more than all else together. What is said here is a queryset all the same, with `Param("name")`
where a value comes later; its SQL is kept, and the rows become what the queryset says: objects with what they
select, or tuples.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import sql
from django.db.models.expressions import Expression
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    QuerySet,
    ValuesListIterable,
    get_related_populators,
)
from django.db.transaction import TransactionManagementError, mark_for_rollback_on_error
from django.utils.functional import cached_property

T = TypeVar("T")

#: What makes of the values of a row what a queryset gives for it.
Reader = Callable[[Sequence[Any]], Any]


class Param(Expression):
    """A value that is given when the statement runs: text, a number, a truth, a UUID or a moment.

    Never None, which SQL does not compare by `=`, and no number that its column could not hold.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """Its place in the statement, and itself in the place of the value."""
        return "%s", (self,)


class Compiled(NamedTuple):
    """A statement in the SQL of one kind of database."""

    sql: str
    #: What stands for each placeholder: a value, or the Given whose value it is.
    parameters: tuple[Any, ...]
    read: Reader | None = None

    def execute(self, database: Any, cursor: Any, given: dict[str, Any]) -> None:
        """Run it. Raises KeyError where a value is missing, and TypeError where it is None."""
        cursor.execute(
            self.sql, [_stored(given[p.name], database) if isinstance(p, Param) else p for p in self.parameters]
        )


class _Statement:
    """What all of them have in common: they are compiled when they first run, for the kind of database there is."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._compiled: dict[str, Compiled] = {}

    def _statement(self, database: Any) -> Compiled:
        compiled = self._compiled.get(database.vendor)
        if compiled is None:
            compiled = self._compiled[database.vendor] = self._compile(database)
        return compiled

    def _compile(self, database: Any) -> Compiled:
        raise NotImplementedError


class Select(_Statement, Generic[T]):
    """The rows of a queryset. One that locks them needs a transaction, as Django's does."""

    def __init__(self, build: Callable[[], QuerySet[Any, T]]) -> None:
        super().__init__(build)

    def all(self, **given: Any) -> list[T]:
        """Every row."""
        database = connections[DEFAULT_DB_ALIAS]
        statement = self._statement(database)
        assert statement.read is not None
        with database.cursor() as cursor:
            statement.execute(database, cursor, given)
            return [statement.read(row) for row in cursor.fetchall()]

    def first(self, **given: Any) -> T | None:
        """The first row, or None. The queryset says by its order which one that is."""
        database = connections[DEFAULT_DB_ALIAS]
        statement = self._statement(database)
        assert statement.read is not None
        with database.cursor() as cursor:
            statement.execute(database, cursor, given)
            row = cursor.fetchone()
        return None if row is None else statement.read(row)

    def _statement(self, database: Any) -> Compiled:
        if self._locks and database.get_autocommit():
            raise TransactionManagementError("select_for_update needs a transaction")
        return super()._statement(database)

    _locks = False

    def _compile(self, database: Any) -> Compiled:
        queryset = self._build()
        self._locks = queryset.query.select_for_update and database.features.has_select_for_update
        compiler = queryset.query.get_compiler(connection=database)
        text, parameters = compiler.as_sql()
        return Compiled(text, tuple(parameters), _reader(queryset, compiler))


class Update(_Statement):
    """The same change of the rows of a queryset, each time with other values."""

    def __init__(self, build: Callable[[], QuerySet[Any, Any]], **values: Any) -> None:
        super().__init__(build)
        self._values = values

    def run(self, **given: Any) -> int:
        """How many rows were changed."""
        return _run(self, given)

    def _compile(self, database: Any) -> Compiled:
        query = self._build().query.chain(sql.UpdateQuery)
        query.add_update_values(self._values)
        text, parameters = query.get_compiler(connection=database).as_sql()
        return Compiled(text, tuple(parameters))


class Delete(_Statement):
    """The rows of a queryset go. For models that nothing else refers to: nothing goes with them."""

    def run(self, **given: Any) -> int:
        """How many rows went."""
        return _run(self, given)

    def _compile(self, database: Any) -> Compiled:
        query = self._build().query.chain(sql.DeleteQuery)
        text, parameters = query.get_compiler(connection=database).as_sql()
        return Compiled(text, tuple(parameters))


class Insert:
    """A new row of a model, all of whose values come from Python but a number that is its key. Sends no signals."""

    def __init__(self, model: type[models.Model]) -> None:
        self._model = model
        self._sql: dict[str, str] = {}

    def run(self, row: models.Model) -> None:
        """Store it; the number it is given is not asked for. Raises IntegrityError, as saving it does."""
        database = connections[DEFAULT_DB_ALIAS]
        values = [field.get_db_prep_save(field.pre_save(row, add=True), database) for field in self._fields]
        with mark_for_rollback_on_error(using=DEFAULT_DB_ALIAS), database.cursor() as cursor:
            cursor.execute(self._sql.get(database.vendor) or self._compile(row, database), values)
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS

    @cached_property
    def _fields(self) -> list[models.Field[Any, Any]]:
        return [field for field in self._model._meta.concrete_fields if not isinstance(field, models.AutoField)]

    def _compile(self, row: models.Model, database: Any) -> str:
        query = sql.InsertQuery(self._model)
        query.insert_values(self._fields, [row])
        [(text, _)] = query.get_compiler(connection=database).as_sql()
        self._sql[database.vendor] = text
        return text


def _run(change: Update | Delete, given: dict[str, Any]) -> int:
    # Resolved once: whatever is asked of `django.db.connection` looks for the thread's connection anew.
    database: Any = connections[DEFAULT_DB_ALIAS]
    with mark_for_rollback_on_error(using=DEFAULT_DB_ALIAS), database.cursor() as cursor:
        change._statement(database).execute(database, cursor, given)
        return cursor.rowcount


def _stored(value: Any, database: Any) -> Any:
    """The value as the database's driver takes it, as its field would prepare it."""
    if value is None:
        raise TypeError("None is no value of a statement")
    if isinstance(value, uuid.UUID):
        return value if database.features.has_native_uuid_field else value.hex
    if isinstance(value, datetime):
        return database.ops.adapt_datetimefield_value(value)
    return value


def _reader(queryset: QuerySet[Any, Any], compiler: Any) -> Reader:
    """How a row of the compiled queryset is read."""
    expressions = [selected[0] for selected in compiler.select[: compiler.col_count]]
    converters: Iterable[tuple[int, Any]] = compiler.get_converters(expressions).items()

    def converted(row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for place, (convert, expression) in converters:
            for converter in convert:
                values[place] = converter(values[place], expression, compiler.connection)
        return values

    shape = queryset._iterable_class
    if shape is ValuesListIterable:
        return lambda row: tuple(converted(row))
    if shape is FlatValuesListIterable:
        return lambda row: converted(row)[0]
    if shape is not ModelIterable or compiler.annotation_col_map or queryset._prefetch_related_lookups:  # type: ignore[attr-defined]
        raise NotImplementedError("only objects as they are stored, and values_list")

    model = compiler.klass_info["model"]
    places = compiler.klass_info["select_fields"]
    own = slice(places[0], places[-1] + 1)
    names = [selected[0].target.attname for selected in compiler.select[own]]
    populators = get_related_populators(compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS)  # type: ignore[call-arg]

    def read(row: Sequence[Any]) -> Any:
        values = converted(row)
        found = model.from_db(DEFAULT_DB_ALIAS, names, values[own])
        for populator in populators:
            populator.populate(values, found)
        return found

    return read
