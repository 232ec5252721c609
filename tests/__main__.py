"""`make test`: every test that can run here, on every database that is there; says what was left out.

On SQLite always. On PostgreSQL and Redis where TEST_DATABASE_URL and TEST_REDIS_URL name them or they
answer on localhost; on PostgreSQL alone where there is no Redis. Then the fault suite and the hostile suite
in their short forms (tests/campaign, tests/hostile). With REQUIRE_ALL=1 a part that is left out is a
failure. Arguments are pytest's; with any, only pytest runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.upgrade import release

LOCAL = "postgres://postgres@127.0.0.1:5432/postgres"
LOCAL_REDIS = "redis://127.0.0.1:6379/0"
#: Where it is set, each worker and each server compiles everything anew: seconds of processor time for each.
UNCOMPILED = ("PYTHONDONTWRITEBYTECODE",)


def postgresql() -> tuple[str | None, str]:
    """The address of a PostgreSQL server to test on, or None and why there is none."""
    import psycopg

    url = os.environ.get("TEST_DATABASE_URL") or LOCAL
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.Error as error:
        if os.environ.get("TEST_DATABASE_URL"):
            sys.exit(f"TEST_DATABASE_URL does not answer: {error}")
        return None, "no PostgreSQL answers on localhost and TEST_DATABASE_URL is not set"
    return url, ""


def redis() -> tuple[str | None, str]:
    """The address of a Redis to test with, or None and why there is none."""
    from redis import Redis, RedisError

    url = os.environ.get("TEST_REDIS_URL") or LOCAL_REDIS
    try:
        with Redis.from_url(url, socket_connect_timeout=3) as client:
            client.ping()
    except RedisError as error:
        if os.environ.get("TEST_REDIS_URL"):
            sys.exit(f"TEST_REDIS_URL does not answer: {error}")
        return None, "no Redis answers on localhost and TEST_REDIS_URL is not set"
    return url, ""


def run(name: str, shared: dict[str, str], arguments: list[str], left_out: list[str]) -> bool:
    """Whether every test passed; what was skipped is added to `left_out` (tests/conftest.py writes it down).

    Those that no database decides (marked `once`) run on SQLite only: on what is there everywhere.
    """
    print(f"\n=== Tests on {name} ===", flush=True)
    if shared:
        arguments = ["-m", "not once", *arguments]
        print("(Those that no database decides ran before.)", flush=True)
    # The tests mostly wait for servers: two processes more than cores keep these busy.
    workers = ["-n", str((os.cpu_count() or 1) + 2), "--dist", "worksteal"]
    with tempfile.TemporaryDirectory() as folder:
        skipped = Path(folder, "skipped")
        without = ("TEST_DATABASE_URL", "DATABASE_URL", "TEST_REDIS_URL", "REDIS_URL", *UNCOMPILED)
        env = {key: value for key, value in os.environ.items() if key not in without}
        env |= {"SKIPPED_FILE": str(skipped)} | shared
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *workers, *arguments], env=env)
        if skipped.exists():
            left_out += [f"{name}: {reason}" for reason in skipped.read_text().splitlines()]
    return done.returncode == 0


def faults(database_url: str | None, left_out: list[str]) -> bool:
    """Whether the fault suite passed in its short form; what it needs and is not here is added to `left_out`."""
    from tests.campaign.programs import missing

    if lacking := ([] if database_url else ["PostgreSQL"]) + missing():
        left_out.append(f"the fault suite: needs {', '.join(lacking)}")
        return True
    print(flush=True)
    env = {key: value for key, value in os.environ.items() if key not in UNCOMPILED}
    env |= {"TEST_DATABASE_URL": str(database_url)}
    return subprocess.run([sys.executable, "-m", "tests.campaign", "--quick"], env=env).returncode == 0


def hostile(left_out: list[str]) -> bool:
    """Whether the hostile suite passed in its short form; where it can not run that is added to `left_out`."""
    if not sys.platform.startswith("linux"):
        left_out.append("the hostile suite: needs Linux, whose /proc says what a process holds")
        return True
    print(flush=True)
    env = {key: value for key, value in os.environ.items() if key not in UNCOMPILED}
    return subprocess.run([sys.executable, "-m", "tests.hostile", "--quick"], env=env).returncode == 0


def main() -> int:
    """The exit code."""
    arguments = sys.argv[1:]
    left_out: list[str] = []
    database_url, no_database = postgresql()
    redis_url, no_redis = redis()
    passed = run("SQLite", {}, arguments, left_out)
    if not database_url:
        left_out.append(f"PostgreSQL and Redis: {no_database}")
    elif not redis_url:
        left_out.append(f"PostgreSQL with Redis: {no_redis}")
        passed = run("PostgreSQL", {"TEST_DATABASE_URL": database_url}, arguments, left_out) and passed
    else:
        shared = {"TEST_DATABASE_URL": database_url, "TEST_REDIS_URL": redis_url}
        passed = run("PostgreSQL and Redis", shared, arguments, left_out) and passed
    if (lacking := release.missing()) is not None:
        left_out.append(lacking)
    if not arguments:
        passed = faults(database_url, left_out) and passed
        passed = hostile(left_out) and passed
    print("\n=== Left out ===")
    print("\n".join(left_out) or "nothing")
    return 0 if passed and not (left_out and os.environ.get("REQUIRE_ALL")) else 1


if __name__ == "__main__":
    sys.exit(main())
