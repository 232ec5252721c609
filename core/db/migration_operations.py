"""How does a migration change a table that is being written to?"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db.migrations.operations import AddConstraint, AddIndex, AlterField
from django.db.migrations.operations.base import Operation


class AddIndexBeside(AddIndexConcurrently):
    """An index that PostgreSQL builds beside the writers (CREATE INDEX CONCURRENTLY), and SQLite as any other.

    Its migration has `atomic = False` and nothing besides. One that was broken off has left an invalid index of this
    name, which is dropped first.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Build it."""
        if schema_editor.connection.vendor != "postgresql":
            AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
            return
        name = schema_editor.quote_name(self.index.name)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        if schema_editor.connection.vendor != "postgresql":
            AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)
        else:
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class AddUniqueBeside(AddConstraint):
    """A UniqueConstraint with a condition, which is a unique index, built as that of AddIndexBeside.

    The rows of the version before must not break it: its columns are new, or null there.
    """

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Build it."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor != "postgresql" or not self.allow_migrate_model(
            schema_editor.connection.alias, model
        ):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.constraint.name)}")
        created = str(self.constraint.create_sql(model, schema_editor))
        assert created.startswith("CREATE UNIQUE INDEX "), "only one with a condition is an index"
        schema_editor.execute(created.replace("INDEX", "INDEX CONCURRENTLY", 1), params=None)


class AlterFieldsAtOnce(Operation):
    """Several columns of one model changed as `AlterField` does, for which SQLite copies the table once.

    One `AlterField` after the other copies it each time, and nobody else writes meanwhile.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str, fields: dict[str, Any]) -> None:
        self.model_name = model_name
        self.fields = fields

    @property
    def alterations(self) -> list[AlterField]:
        """One operation of Django's for each column."""
        return [AlterField(self.model_name, name, field) for name, field in self.fields.items()]

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """As a migration writes it."""
        return self.__class__.__qualname__, [], {"model_name": self.model_name, "fields": self.fields}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change the model."""
        for alteration in self.alterations:
            alteration.state_forwards(app_label, state)

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Change the table."""
        before = from_state.apps.get_model(app_label, self.model_name)
        after = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, after):
            return
        changed = [(before._meta.get_field(name), after._meta.get_field(name)) for name in self.fields]
        if schema_editor.connection.vendor == "sqlite":
            schema_editor._remake_table(before, alter_fields=changed)
            return
        for old, new in changed:
            schema_editor.alter_field(before, old, new)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Change it back."""
        self.database_forwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        """What `migrate` prints."""
        return f"Alter {', '.join(self.fields)} on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        """What a migration may be called by."""
        return f"alter_{self.model_name.lower()}"
