"""Fixtures: databases, servers and the cast.

Tests of functions use pytest-django's `db` (rolled back). Tests of what clients see talk to real server
processes on the run's database: each makes tenants of its own, and nothing is rolled back. Tests that
kill servers have a database of their own (`own_database`).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connections
from django.test.utils import setup_databases, teardown_databases

from tests import settings as test_settings
from tests.support.actors import Actor, new_actor
from tests.support.failures import KEY
from tests.support.servers import Server

Server.forked = True


def database_url(name: str) -> str:
    """The address of another database beside the tests' own."""
    if test_settings.ON_SQLITE:
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + name))


@pytest.fixture(scope="session")
def folder() -> Path:
    return test_settings.FOLDER


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker) -> Iterator[None]:  # type: ignore[no-untyped-def]
    """The run's database. pytest-django's own makes it only for tests that are marked, not for those of servers."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False)
    yield
    with django_db_blocker.unblock():
        connections.close_all()
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def pristine(django_db_setup: None, django_db_blocker, folder: Path) -> Iterator[str]:  # type: ignore[no-untyped-def]
    """The name of a migrated, empty database to copy from. Made before any server holds the tests' own."""
    name = settings.DATABASES["default"]["NAME"]
    with django_db_blocker.unblock():
        connections.close_all()
        if test_settings.ON_SQLITE:
            copy = str(folder / "pristine.sqlite3")
            source, target = sqlite3.connect(name), sqlite3.connect(copy)
            source.backup(target)
            source.close()
            target.close()
            yield copy
        else:
            copy = f"{name}_pristine"
            _administer(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
            yield copy
            _administer(f'DROP DATABASE "{copy}" WITH (FORCE)')


def _administer(statement: str) -> None:
    import psycopg

    with psycopg.connect(database_url("postgres"), autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def new_database(pristine: str, folder: Path) -> Iterator[str]:
    """The address of an empty database, which is gone afterwards."""
    if test_settings.ON_SQLITE:
        name = str(folder / "own.sqlite3")
        shutil.copy(pristine, name)
        yield database_url(name)
    else:
        name = f"{pristine}_{uuid.uuid4().hex[:8]}"
        _administer(f'CREATE DATABASE "{name}" TEMPLATE "{pristine}"')
        yield database_url(name)
        _administer(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def own_database(pristine: str, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database for this test alone."""
    with new_database(pristine, tmp_path) as address:
        yield address


@pytest.fixture(autouse=True)
def living_processes(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker) -> None:  # type: ignore[no-untyped-def]
    """After a test that empties the database in its end, the rows of the servers of the tests after it are there again.

    Without its row, which it writes again with its next beat, a server lets no socket in.
    """
    from chats.models import Process

    with django_db_blocker.unblock():
        if _emptied:
            Process.objects.bulk_create(_emptied, ignore_conflicts=True)
        _emptied.clear()
        marker = request.node.get_closest_marker("django_db")
        if "transactional_db" in request.fixturenames or (marker and marker.kwargs.get("transaction")):
            _emptied.extend(Process.objects.all())


#: Rows that the test before took from the database.
_emptied: list[Any] = []


@pytest.fixture(scope="session")
def model_server(folder: Path) -> Iterator[str]:
    """The base URL of a scripted model (tests/support/model_server.py says what it can do)."""
    from tests.support.model_server import run_in_process

    with run_in_process(folder / "model.log") as base_url:
        yield base_url


@pytest.fixture(scope="session")
def live_server_uvicorn(pristine: str, model_server: str, folder: Path) -> Iterator[Server]:
    yield from served(folder / "uvicorn.log", model_server)


@pytest.fixture(scope="session")
def live_server_daphne(pristine: str, model_server: str, folder: Path) -> Iterator[Server]:
    yield from served(folder / "daphne.log", model_server, kind="daphne")


def served(
    log: Path, model_server: str, *, kind: str = "uvicorn", key: str = "key-of-the-tests", **env: str
) -> Iterator[Server]:
    """A process on the tests' own database that asks the scripted model, on either wire, under this key."""
    given = {
        "OPENAI_BASE_URL": model_server,
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": model_server.removesuffix("/v1"),
        "ANTHROPIC_API_KEY": key,
        # What fails on purpose fails at once; tests/websocket/test_models.py is about trying again.
        "MODEL_RETRIES": "0",
        **env,
    }
    server = Server(database_url=database_url(str(settings.DATABASES["default"]["NAME"])), log=log, kind=kind, **given)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="module")
def impatient(pristine: str, model_server: str, folder: Path) -> Iterator[Server]:
    """A process that waits for a second or two, asks once more, and has nobody to stand in."""
    yield from served(
        folder / "impatient.log",
        model_server,
        key=KEY,
        MODEL_FIRST_TOKEN_SECONDS="1.5",
        MODEL_GAP_SECONDS="1",
        MODEL_TOTAL_SECONDS="3",
        MODEL_RETRIES="1",
        OUTBOUND_ALLOW="127.0.0.1",
    )


@pytest.fixture
def server(live_server_uvicorn: Server) -> Server:
    """The uvicorn process that tests of what clients see share."""
    return live_server_uvicorn


@pytest.fixture
def live(server: Server, django_db_blocker) -> Iterator[Callable[..., Actor]]:  # type: ignore[no-untyped-def]
    """Makes tenants that talk to the shared server: `live("Acme", rest_per_minute=100)`."""
    with django_db_blocker.unblock():
        yield lambda name, **policy: new_actor(name, base=server.http, **policy)


@pytest.fixture
def acme(live: Callable[..., Actor]) -> Actor:
    """The tenant that owns. Its model is scripted by what the user says."""
    return live("Acme", model="openai:test")


@pytest.fixture
def globex(live: Callable[..., Actor]) -> Actor:
    """The tenant that must see nothing."""
    return live("Globex", model="openai:test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On daphne only what is marked `daphne` is run."""
    left_out = [item for item in items if _is_on_daphne(item) and not item.get_closest_marker("daphne")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not _is_on_daphne(item) or item.get_closest_marker("daphne")]


def _is_on_daphne(item: pytest.Item) -> bool:
    case = getattr(item, "callspec", None)
    return case is not None and case.params.get("server") == "daphne"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write down why tests were skipped, for `make test` to say."""
    reports = terminalreporter.stats.get("skipped", [])
    if (path := os.environ.get("SKIPPED_FILE")) and reports:
        reasons = {str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports}
        Path(path).write_text("\n".join(sorted(reasons)))
