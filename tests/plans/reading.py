"""How much does a statement read, by the database's own plan and count?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

#: A table of more rows than this is large. What people type (tenants, keys, articles) never is.
LARGE = 10_000
#: Most rows that a page may read: the admin counts to 1,001, some of them twice.
MOST_ROWS = 5_000
#: Most steps of SQLite's machine for that; it takes some twenty for a row.
MOST_STEPS = 150_000


@dataclass(frozen=True)
class Reading:
    """What one statement does."""

    statement: str
    plan: str
    #: What is wrong with it.
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'; '.join(self.problems)}\n{self.statement}\n{self.plan}"


def read(execute: Any, cursor: Any, sql: str, parameters: Any) -> Reading:
    """Explain a statement, and carry it out once more if it only reads."""
    if connection.vendor == "sqlite":
        return _on_sqlite(execute, cursor, sql, parameters)
    return _on_postgresql(execute, cursor, sql, parameters)


def _on_sqlite(execute: Any, cursor: Any, sql: str, parameters: Any) -> Reading:
    execute(cursor, f"EXPLAIN QUERY PLAN {sql}", parameters)
    plan = "\n".join(row[3] for row in cursor.fetchall())
    problems = []
    limited = " LIMIT " in sql
    for table in re.findall(r"^SCAN (\w+)\b(?! .*USING)", plan, re.MULTILINE):
        if table in large_tables() and not limited:
            problems.append(f"reads all of {table}")
    if sql.startswith("SELECT"):
        steps = _steps(execute, cursor, sql, parameters)
        if steps > MOST_STEPS and not _from_indexes_alone(plan):
            problems.append(f"takes more than {MOST_STEPS} steps: {steps}")
        if "USE TEMP B-TREE FOR ORDER BY" in plan and steps > MOST_STEPS / 5:
            problems.append("sorts many rows")
    return Reading(sql, plan, tuple(problems))


def _from_indexes_alone(plan: str) -> bool:
    """Whether no row of a large table is read."""
    reads = re.findall(r"^(?:SCAN|SEARCH) (\w+)(.*)", plan, re.MULTILINE)
    return all("COVERING INDEX" in how for table, how in reads if table in large_tables())


def _steps(execute: Any, cursor: Any, sql: str, parameters: Any) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1000
        return 0

    raw = cursor.db.connection
    raw.set_progress_handler(count, 1000)
    try:
        execute(cursor, sql, parameters)
        cursor.fetchall()
    finally:
        raw.set_progress_handler(None, 0)
    return counted


def _on_postgresql(execute: Any, cursor: Any, sql: str, parameters: Any) -> Reading:
    reads_only = sql.startswith("SELECT") and " FOR " not in sql
    execute(cursor, f"EXPLAIN (FORMAT JSON{', ANALYZE, TIMING off' if reads_only else ''}) {sql}", parameters)
    plan = _plan(cursor)
    problems = [problem for node, limited in _nodes(plan) for problem in _problems(node, limited)]
    if problems and sql.startswith("SELECT COUNT(*)"):
        # Where most rows of the table count it may read them; an index must be there for when they do not.
        for way in ("seqscan", "bitmapscan"):
            execute(cursor, f"SET enable_{way} = off", None)
        execute(cursor, f"EXPLAIN (FORMAT JSON, ANALYZE, TIMING off) {sql}", parameters)
        plan = _plan(cursor)
        for way in ("seqscan", "bitmapscan"):
            execute(cursor, f"RESET enable_{way}", None)
        problems = [problem for node, limited in _nodes(plan) for problem in _problems(node, limited)]
    return Reading(sql, json.dumps(plan, indent=1), tuple(problems))


def _plan(cursor: Any) -> dict[str, Any]:
    ((found,),) = cursor.fetchall()
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def _nodes(node: dict[str, Any], limited: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each node of a plan, and whether it is beneath a limit that stops it."""
    limited = limited or node["Node Type"] == "Limit"
    yield node, limited
    for child in node.get("Plans", ()):
        yield from _nodes(child, limited and "Sort" not in node["Node Type"])


def _problems(node: dict[str, Any], limited: bool) -> Iterator[str]:
    table = node.get("Relation Name")
    if node["Node Type"] == "Seq Scan" and table in large_tables() and not limited:
        yield f"reads all of {table}"
    rows = node.get("Actual Rows")
    if rows is None:  # It was not carried out.
        rows = node["Plan Rows"]
    passed = sum(node.get(f"Rows Removed by {by}", 0) for by in ("Filter", "Index Recheck", "Join Filter"))
    total = (rows + passed) * node.get("Actual Loops", 1)
    if total > MOST_ROWS and ((table and node["Node Type"] != "Index Only Scan") or node["Node Type"] == "Sort"):
        yield f"{node['Node Type']} of {total} rows of {table}"


_large: set[str] = set()


def large_tables() -> set[str]:
    """The tables of more than LARGE rows."""
    return _large


def look() -> None:
    """Find out which tables are large."""
    _large.clear()
    for table in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT COUNT(*) FROM (SELECT 1 FROM "{table}" LIMIT {LARGE + 1}) AS rows')
            if cursor.fetchone()[0] > LARGE:
                _large.add(table)


class Watch:
    """Reads every statement of this process, in whatever thread, before it is carried out."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.real = CursorWrapper.execute

    def execute(self, cursor: Any, sql: str, parameters: Any = None) -> Any:
        """Stands for CursorWrapper.execute."""
        if re.match("SELECT|UPDATE|DELETE|INSERT .* SELECT ", sql) and any(
            f'"{table}"' in sql for table in large_tables()
        ):
            self.readings.append(read(self.real, cursor, sql, parameters))
        return self.real(cursor, sql, parameters)

    @property
    def offenders(self) -> list[str]:
        """The statements that read too much."""
        return [str(reading) for reading in self.readings if reading.problems]
