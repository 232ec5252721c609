"""A PostgreSQL server of the tests' own: made, started, stopped."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import psycopg

from tests.support.forkserver import run_python
from tests.support.servers import free_port


def find_programs() -> Path | None:
    """The folder of initdb and pg_ctl, of the newest version there is; None where there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def unprivileged() -> str:
    """The user that a server is run as by root."""
    return next(name for name in ("postgres", "nobody") if name in {user.pw_name for user in pwd.getpwall()})


class Cluster:
    """One server, with its data in a temporary folder; the newest there is, unless `programs` says where another is."""

    def __init__(self, programs: Path | None = None, *, settings: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lexicon-postgresql-"))
        self.port = free_port()
        programs = programs or find_programs()
        assert programs is not None
        self.programs = programs
        self._settings = settings
        #: PostgreSQL refuses to run as root.
        self._user = unprivileged() if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)

    def make(self) -> None:
        """Lay it out, with a template that has the service's tables."""
        self._run("initdb", "--auth=trust", "--no-sync", "--username=postgres", "--encoding=UTF8", "--locale=C")
        with (self.folder / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
                f"shared_buffers = 16MB\n{self._settings}"
            )
        self.start()
        self.administer("CREATE DATABASE template")
        env = {
            "PATH": os.environ["PATH"],
            "SECRET_KEY": "only-for-tests-" + "x" * 50,
            "DATABASE_URL": self.url("template"),
            "LOG_LEVEL": "WARNING",
        }
        run_python(["manage.py", "migrate", "-v", "0"], env=env).check_returncode()

    def url(self, name: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{name}"

    def new_database(self) -> str:
        """The address of a database with the service's tables, empty."""
        name = f"own_{uuid.uuid4().hex[:8]}"
        self.administer(f"CREATE DATABASE {name} TEMPLATE template")
        return self.url(name)

    def start(self) -> None:
        """Run, if it does not."""
        if not self.runs:
            self._run("pg_ctl", "-w", "-t", "60", "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        """Stop without a word to anybody, as if it had died; what was committed is found again by `start`."""
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    @property
    def runs(self) -> bool:
        return (self.folder / "postmaster.pid").exists()

    def close(self) -> None:
        if self.runs:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def administer(self, statement: str) -> None:
        """Run a statement that belongs to no database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), "-D", str(self.folder), *arguments],
            cwd=self.folder,
            user=self._user,
            stdout=subprocess.DEVNULL,  # a pipe would be kept open by the server
            stderr=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{program} {arguments} ended with {done.returncode}"
