"""`docs/operations.md` is complete: every variable, every check, and commands that there are."""

from __future__ import annotations

import re

from django.core.management import get_commands

from tests.readme.test_environment import LISTED
from tests.support.servers import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()


def rows(heading: str) -> list[str]:
    """The first column of the table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)


def test_every_variable_is_explained_and_none_that_is_not() -> None:
    assert sorted(rows("Every variable")) == sorted(LISTED)


def test_every_check_is_explained_and_none_that_is_not() -> None:
    code = "".join(path.read_text() for path in (ROOT / "lexicon").glob("*checks.py"))
    assert sorted(rows("Before it serves")) == sorted(set(re.findall(r'id="(lexicon\.\w+)"', code)))


def test_every_command_it_names_is_one() -> None:
    named = set(re.findall(r"manage\.py (\w+)", PAGE))
    assert {"backup", "move_to_postgres", "migrate", "unlock_login"} <= named
    assert named <= set(get_commands())


def test_it_restores_as_the_rehearsal_does() -> None:
    assert "rm -f /data/db.sqlite3-wal /data/db.sqlite3-shm\ncp " in PAGE
    assert "pg_restore --clean --if-exists --no-owner --exit-on-error --dbname=" in PAGE
