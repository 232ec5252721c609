"""A backup brings back what pgvector keeps, also where the extension belongs to somebody else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.faults.postgresql.cluster import Cluster
from tests.pgvector.conftest import Embed, by, columns, is_filled, manage, run
from tests.support.servers import ROOT

pytestmark = pytest.mark.once


def back_up(cluster: Cluster, address: str, backup: Path) -> None:
    done = manage(address, "backup", str(backup), PATH=f"{cluster.programs}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr


def restore(cluster: Cluster, address: str, *arguments: str | Path) -> None:
    """As tests/operating/test_backup.py does it."""
    command = ["--clean", "--if-exists", "--no-owner", "--exit-on-error", f"--dbname={address}", *arguments]
    subprocess.run([cluster.programs / "pg_restore", *command], check=True)


def test_what_was_lost_is_there_again(cluster: Cluster, migrated: str, embed: Embed, tmp_path: Path) -> None:
    embed([1.0, 2.0], [3.0, 4.0])
    back_up(cluster, migrated, tmp_path / "backup")
    run("DELETE FROM agents_passagevector")
    restore(cluster, migrated, tmp_path / "backup")
    assert is_filled(columns())


def test_who_does_not_own_the_extension_restores_without_it(
    cluster: Cluster, migrated: str, plain: str, embed: Embed, tmp_path: Path
) -> None:
    embed([1.0, 2.0], [3.0, 4.0])
    back_up(cluster, migrated, tmp_path / "backup")
    empty = cluster.url("theirs")
    cluster.administer(f"CREATE DATABASE theirs OWNER {plain}")
    with psycopg.connect(empty) as database:
        database.execute("CREATE EXTENSION vector")
    told = subprocess.run([cluster.programs / "pg_restore", "--list", tmp_path / "backup"], stdout=subprocess.PIPE)
    contents = [line for line in told.stdout.decode().splitlines() if " EXTENSION " not in line]
    (tmp_path / "contents").write_text("\n".join(contents))
    restore(cluster, by(plain, empty), f"--use-list={tmp_path / 'contents'}", tmp_path / "backup")
    assert is_filled(columns(empty))


def test_the_page_says_how() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert "grep -v ' EXTENSION '" in page
    assert "--use-list=" in page
