"""`make test`: every test that can run here, on every database that is there; says what was left out.

SQLite always. PostgreSQL where TEST_DATABASE_URL names one or one answers on localhost. With
REQUIRE_ALL=1 a part that is left out is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys

LOCAL = "postgres://postgres@127.0.0.1:5432/postgres"


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


def run(name: str, url: str | None, arguments: list[str]) -> bool:
    print(f"\n=== Tests on {name} ===", flush=True)
    env = {key: value for key, value in os.environ.items() if key not in ("TEST_DATABASE_URL", "DATABASE_URL")}
    if url:
        env["TEST_DATABASE_URL"] = url
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], env=env).returncode == 0


def main() -> int:
    arguments = sys.argv[1:]
    url, why_not = postgresql()
    passed = run("SQLite", None, arguments)
    if url:
        passed = run("PostgreSQL", url, arguments) and passed
    print("\n=== Left out ===")
    print(f"PostgreSQL: {why_not}" if not url else "nothing")
    if not url and os.environ.get("REQUIRE_ALL"):
        return 1
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
