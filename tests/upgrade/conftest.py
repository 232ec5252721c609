"""The last release and today's code, on one database that today's code migrated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import closed_sockets, on_own_database  # noqa: F401 (they are fixtures here, too)
from tests.support.servers import Server
from tests.upgrade import release


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the last release out where its commit is not here; `make test` says so."""
    if release.missing() is None:
        return
    left_out = [item for item in items if item.path.name == "test_last_release.py"]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the last release's code."""
    folder = tmp_path_factory.mktemp("last-release")
    release.unpack(folder)
    return folder


@pytest.fixture
def new_process(
    own_database: str, model_server: str, released: Path, tmp_path: Path
) -> Iterator[Callable[[type[Server]], Server]]:
    """Starts a process of the last release (`LastRelease`) or of today's code (`Server`) on this test's database."""
    servers: list[Server] = []

    def make(kind: type[Server]) -> Server:
        server = kind(
            log=tmp_path / f"{kind.__name__}-{len(servers)}.log",
            database_url=own_database,
            OPENAI_BASE_URL=model_server,
            OPENAI_API_KEY="key-of-the-tests",
            DRAIN_SECONDS="2",
        )
        if isinstance(server, release.LastRelease):
            server.folder = released
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.close()
