"""Two processes on one database that can not hear each other: neither should get requests, and the log says why."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.support.client import eventually
from tests.support.servers import Server

NewServer = Callable[..., Server]

PROBLEM = "another process serves from this database"


def readiness(server: Server) -> tuple[int, str]:
    answer = httpx.get(server.http + "/readyz")
    return answer.status_code, answer.json().get("problem", "")


async def not_ready(server: Server) -> None:
    async def told() -> bool:
        status, problem = readiness(server)
        return status == 503 and PROBLEM in problem

    await eventually(told)


async def ready(server: Server) -> None:
    async def told() -> bool:
        return readiness(server)[0] == 200

    await eventually(told)


async def test_two_processes_without_redis_are_not_ready_until_one_is_gone(new_server: NewServer) -> None:
    first, second = (new_server(REDIS_URL="") for _ in range(2))
    await not_ready(first)
    await not_ready(second)

    async def logged() -> bool:
        return all(PROBLEM in server.log.read_text() for server in (first, second))

    await eventually(logged)
    first.kill()
    await ready(second)
    assert second.log.read_text().count(PROBLEM) == 1


async def test_with_redis_both_are_ready(new_server: NewServer) -> None:
    # Its address is enough: Redis itself may be away.
    first, second = (new_server(REDIS_URL="redis://127.0.0.1:1/0") for _ in range(2))
    await ready(first)
    await ready(second)
    assert PROBLEM not in first.log.read_text() + second.log.read_text()


async def test_the_process_that_died_just_before_does_not_count(new_server: NewServer) -> None:
    # Its lease is far from over when its heir starts.
    first = new_server(REDIS_URL="", LEASE_SECONDS="60")
    first.kill()
    second = new_server(REDIS_URL="", LEASE_SECONDS="60")
    assert readiness(second) == (200, "")
    assert PROBLEM not in second.log.read_text()
