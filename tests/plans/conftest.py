"""One large database for all tests here; only reading, or undone."""

from __future__ import annotations

from collections.abc import Iterator

import dj_database_url
import pytest
from django.db import connections
from django.db.backends.utils import CursorWrapper

from tests.conftest import new_database
from tests.plans import reading, rows
from tests.plans.reading import Watch
from tests.plans.rows import Large


@pytest.fixture(scope="session")
def filled(  # type: ignore[no-untyped-def]
    pristine: str, tmp_path_factory: pytest.TempPathFactory, django_db_blocker
) -> Iterator[tuple[str, Large]]:
    """The name of the large database, and what stands in it."""
    with new_database(pristine, tmp_path_factory.mktemp("plans")) as address, django_db_blocker.unblock():
        name = dj_database_url.parse(address)["NAME"]
        with pytest.MonkeyPatch.context() as patched:
            connections.close_all()
            patched.setitem(connections.settings["default"], "NAME", name)
            large = rows.make()
            rows.settle()
            reading.look()
            connections.close_all()
        yield name, large


@pytest.fixture
def large(  # type: ignore[no-untyped-def]
    filled: tuple[str, Large], django_db_blocker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Large]:
    """What stands in the large database, on which this process works meanwhile."""
    name, large = filled
    with django_db_blocker.unblock():
        connections.close_all()
        monkeypatch.setitem(connections.settings["default"], "NAME", name)
        yield large
        connections.close_all()


@pytest.fixture
def watch(large: Large, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """What statements read. `connection.execute_wrapper` holds for one thread; a request's come from several."""
    watching = Watch()
    monkeypatch.setattr(CursorWrapper, "execute", lambda *arguments: watching.execute(*arguments))
    return watching
