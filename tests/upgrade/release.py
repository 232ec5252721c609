"""Where is the code of the last release, and what does it run on?"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.support.forkserver import ROOT
from tests.support.servers import Server

#: The commit of 1.0.0: the next release names its own here.
COMMIT = Path(__file__).with_name("last_release.txt").read_text().strip()


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True)


def missing() -> str | None:
    """Why its code is not here; None where it is."""
    try:
        found = _git("cat-file", "-e", f"{COMMIT}^{{commit}}").returncode == 0
    except FileNotFoundError:
        found = False
    return None if found else f"the last release's code on today's tables: needs git and the commit {COMMIT[:12]}"


def unpack(folder: Path) -> None:
    """Put its files into a folder."""
    archive = _git("archive", COMMIT)
    archive.check_returncode()
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


def interpreter(folder: Path) -> str:
    """The Python with the packages it was released with: this one, as long as today's pins are the same."""
    if (folder / "requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes():
        return sys.executable
    return str(ROOT / ".venv-last-release" / "bin" / "python")


class LastRelease(Server):
    """A process of the last release."""

    folder: Path

    @property
    def command(self) -> list[str]:
        return ["tests/upgrade/serve_release.py", str(self.folder)]

    def start(self, *, wait: bool = True) -> LastRelease:
        if (python := interpreter(self.folder)) == sys.executable:
            super().start(wait=wait)
            return self
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([python, *self.command], cwd=ROOT, env=self.env, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self
