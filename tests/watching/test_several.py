"""`/metrics` of several processes on one port tells what they do together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import new_database
from tests.support.servers import Server
from tests.watching.conftest import metrics


@pytest.fixture(scope="module")
def several(pristine: str, tmp_path_factory: Any) -> Iterator[Server]:
    """Two processes that serve one port, and a Redis that is away."""
    folder = tmp_path_factory.mktemp("several")
    with new_database(pristine, folder) as address:
        several = {"WEB_CONCURRENCY": "2", "REDIS_URL": "redis://127.0.0.1:1/0"}
        server = Server(database_url=address, log=folder / "server.log", **several)
        try:
            server.start(wait=False)
            server.wait_ready(60)
            yield server
            server.terminate()
        finally:
            server.close()


def test_the_processes_of_one_port_are_told_together(several: Server) -> None:
    def refused() -> float:
        return metrics(several)['lexicon_requests_total{face="lexicon",status="401"}']

    for count in range(1, 9):
        # Each on a connection of its own, which either process may take.
        assert httpx.get(several.http + "/api/v1/chats/", verify=False).status_code == 401
        assert refused() == count


def test_a_redis_that_is_away_is_told(several: Server) -> None:
    assert metrics(several)["lexicon_redis_up"] == 0
