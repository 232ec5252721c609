"""The move from SQLite ends with what pgvector needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.postgresql.cluster import Cluster
from tests.pgvector.conftest import MODEL, Embed, columns, is_filled, manage

pytestmark = pytest.mark.once


@pytest.fixture
def database(tmp_path: Path, point: Callable[[str], None], settings: Any) -> str:
    """The address of an installation on SQLite; the ORM is pointed at it."""
    address = f"sqlite:///{tmp_path}/source.sqlite3"
    assert manage(address, "migrate").returncode == 0
    point(address)
    settings.EMBEDDING_MODEL = MODEL
    return address


def test_moved_vectors_are_copied_exactly(cluster: Cluster, database: str, embed: Embed) -> None:
    embed([1.0, 2.0], [3.0, 4.0])
    cluster.administer("CREATE DATABASE target")
    done = manage(database, "move_to_postgres", cluster.url("target"))
    assert done.returncode == 0, done.stderr
    rows = columns(cluster.url("target"))
    assert len(rows) == 2
    assert is_filled(rows)
