"""Migrations only add, so that processes of the version before go on while the new ones start.

Every migration after those of 1.0.0 is read, operation by operation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import models
from django.db.migrations import operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from core.db.migration_operations import AddIndexBeside, AddUniqueBeside, AlterFieldsAtOnce

OURS = ("tenants", "agents", "chats", "webhooks")
#: The last migration of 1.0.0 in each app: from there on, the version before reads what the next one migrates.
OF_1_0_0 = {"tenants": 5, "agents": 5, "chats": 6, "webhooks": 1}
#: What is built beside the writers.
BESIDE = (AddIndexBeside, AddUniqueBeside)
#: What adds and changes no table that is there.
HARMLESS = (operations.CreateModel, operations.AlterModelOptions, operations.AlterModelManagers)


def problem(operation: Operation, before: ProjectState, app: str) -> str | None:
    """What the version before could not live with; None where it can."""
    match operation:
        case operations.AddField():
            return _column_problem(operation.field)
        case operations.AlterField():
            old = before.models[app, operation.model_name_lower].fields[operation.name]
            return _change_problem(old, operation.field)
        case AlterFieldsAtOnce():
            return next(filter(None, (problem(one, before, app) for one in operation.alterations)), None)
        case AddIndexBeside():
            return None
        case AddUniqueBeside():
            fields = before.models[app, operation.model_name_lower].fields
            if not any(fields[name].null for name in operation.constraint.fields):
                return "the version before would break what is unique: one of the columns must be null where it writes"
            return None
        case operations.AddIndex():
            return "an index of a table that is there is built by AddIndexBeside"
        case _ if isinstance(operation, HARMLESS):
            return None
    return f"{type(operation).__name__} does not only add"


def _column_problem(field: models.Field) -> str | None:
    if field.many_to_many or field.null or field.has_db_default():
        return None
    return "a column that may not be null needs a db_default: the version before does not write it"


def _change_problem(old: models.Field, new: models.Field) -> str | None:
    """What would be wrong with changing a column."""
    if not new.null and old.null:
        return "a column that was null may stay so"
    if old.has_db_default() and not new.has_db_default():
        return "the version before counts on the column's default"
    if type(old) is not type(new) or (new.max_length or 10**9) < (old.max_length or 10**9):
        return "a column keeps its type, and its length or more"
    if (new.unique, new.primary_key, new.db_column) != (old.unique, old.primary_key, old.db_column):
        return "a column keeps its name and what is unique"
    return None


def later_migrations() -> Iterator[tuple[str, Migration, ProjectState]]:
    """Each migration after 1.0.0, with the state of the models before it."""
    loader = MigrationLoader(None)
    for (app, name), migration in loader.graph.nodes.items():
        if app in OURS and int(name[:4]) > OF_1_0_0[app]:
            parents = [node for node in migration.dependencies if node[1] != "__first__"]
            parents = [node for node in parents if node in loader.graph.nodes]
            yield app, migration, loader.project_state(parents, at_end=True)


def test_every_migration_since_1_0_0_only_adds() -> None:
    problems = []
    for app, migration, state in later_migrations():
        for operation in migration.operations:
            if told := problem(operation, state, app):
                problems.append(f"{migration}: {operation.describe()}: {told}")
            state = copy.deepcopy(state)
            operation.state_forwards(app, state)
        beside = [operation for operation in migration.operations if isinstance(operation, BESIDE)]
        if beside and (migration.atomic or len(migration.operations) > 1):
            problems.append(f"{migration}: what is built beside stands alone, in a migration with atomic = False")
    assert problems == []


def test_no_column_that_was_added_keeps_the_version_before_from_inserting() -> None:
    loader = MigrationLoader(None)
    today = loader.project_state()
    added = {
        (app, operation.model_name_lower, operation.name)
        for (app, _), migration in loader.graph.nodes.items()
        if app in OURS
        for operation in migration.operations
        if isinstance(operation, operations.AddField)
    }
    columns = {column: today.models[column[:2]].fields[column[2]] for column in added}
    assert {column for column, field in columns.items() if _column_problem(field)} == set()


@pytest.fixture
def state() -> ProjectState:
    state = ProjectState()
    operations.CreateModel(
        "Thing", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=10, null=True))]
    ).state_forwards("tenants", state)
    return state


def _index() -> Any:
    return models.Index(fields=["name"], name="thing_name")


def _once(name: str) -> Any:
    return models.UniqueConstraint(fields=[name], condition=models.Q((f"{name}__isnull", False)), name="thing_once")


@pytest.mark.parametrize(
    "operation",
    [
        operations.AddField("Thing", "size", models.IntegerField()),
        operations.AddField("Thing", "size", models.IntegerField(default=0)),
        operations.AlterField("Thing", "name", models.CharField(max_length=10)),
        operations.AlterField("Thing", "name", models.CharField(max_length=9, null=True)),
        operations.AlterField("Thing", "name", models.TextField(null=True)),
        operations.AlterField("Thing", "name", models.CharField(max_length=10, null=True, unique=True)),
        AlterFieldsAtOnce("Thing", {"name": models.TextField(null=True)}),
        operations.RemoveField("Thing", "name"),
        operations.RemoveIndex("Thing", "thing_name"),
        operations.RemoveConstraint("Thing", "thing_once"),
        operations.RenameField("Thing", "name", "title"),
        operations.DeleteModel("Thing"),
        operations.RenameModel("Thing", "Object"),
        operations.AlterModelTable("Thing", "things"),
        operations.AddIndex("Thing", _index()),
        operations.AddConstraint("Thing", models.UniqueConstraint(fields=["name"], name="thing_once")),
        AddUniqueBeside("Thing", _once("id")),
        operations.RunSQL("SELECT 1"),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_the_version_before_could_not_live_with_is_found(operation: Operation, state: ProjectState) -> None:
    assert problem(operation, state, "tenants") is not None


@pytest.mark.parametrize(
    "operation",
    [
        operations.AddField("Thing", "size", models.IntegerField(null=True)),
        operations.AddField("Thing", "size", models.IntegerField(db_default=0)),
        operations.AlterField("Thing", "name", models.CharField(max_length=20, null=True)),
        operations.AlterField("Thing", "name", models.CharField(max_length=10, null=True, db_default="")),
        AlterFieldsAtOnce("Thing", {"name": models.CharField(max_length=10, null=True, db_default="")}),
        operations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))]),
        AddIndexBeside("Thing", _index()),
        AddUniqueBeside("Thing", _once("name")),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_only_adds_is_let_pass(operation: Operation, state: ProjectState) -> None:
    assert problem(operation, state, "tenants") is None
