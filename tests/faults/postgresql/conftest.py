"""What is tested here is PostgreSQL away and back, and several processes on one: the run on SQLite leaves it alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import settings as test_settings
from tests.faults.postgresql.cluster import Cluster, find_programs

collect_ignore_glob = ["test_*.py"] if test_settings.ON_SQLITE else []


@pytest.fixture(scope="session")
def private_cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the tests' own, which may be stopped."""
    if find_programs() is None:
        pytest.skip("PostgreSQL stopped and started: needs its programs (initdb, pg_ctl)")
    cluster = Cluster()
    try:
        cluster.make()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def cluster(private_cluster: Cluster) -> Iterator[Cluster]:
    """The same, running when the test begins."""
    private_cluster.start()
    return private_cluster
