"""`make test`: every test that can run here, on every database that is there; says what was left out.

SQLite always. PostgreSQL where TEST_DATABASE_URL names one or one answers on localhost. With
REQUIRE_ALL=1 a part that is left out is a failure. Arguments are pytest's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

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


def run(name: str, url: str | None, arguments: list[str], left_out: list[str]) -> bool:
    """Whether every test passed; what was skipped is added to `left_out` (tests/conftest.py writes it down)."""
    print(f"\n=== Tests on {name} ===", flush=True)
    # The tests mostly wait for servers: one process more than cores keeps these busy.
    workers = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal"]
    with tempfile.TemporaryDirectory() as folder:
        skipped = Path(folder, "skipped")
        env = {key: value for key, value in os.environ.items() if key not in ("TEST_DATABASE_URL", "DATABASE_URL")}
        env |= {"SKIPPED_FILE": str(skipped)} | ({"TEST_DATABASE_URL": url} if url else {})
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *workers, *arguments], env=env)
        if skipped.exists():
            left_out += [f"{name}: {reason}" for reason in skipped.read_text().splitlines()]
    return done.returncode == 0


def main() -> int:
    """The exit code."""
    arguments = sys.argv[1:]
    left_out: list[str] = []
    url, why_not = postgresql()
    passed = run("SQLite", None, arguments, left_out)
    if url:
        passed = run("PostgreSQL", url, arguments, left_out) and passed
    else:
        left_out.append(f"PostgreSQL: {why_not}")
    print("\n=== Left out ===")
    print("\n".join(left_out) or "nothing")
    return 0 if passed and not (left_out and os.environ.get("REQUIRE_ALL")) else 1


if __name__ == "__main__":
    sys.exit(main())
