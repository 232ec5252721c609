"""What the README tells a stranger to run, for tests that run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.servers import ROOT, Server, free_port

README = (ROOT / "README.md").read_text()
TENANT_KEY = r"lxt_[0-9A-Za-z]{36}"
CUSTOMER_KEY = r"lxc_[0-9A-Za-z]{36}"


class Demo(Server):
    """What `make run` starts: `manage.py demo`, with nothing in its environment but where to be and what is given."""

    def __init__(self, folder: Path, **given: str) -> None:
        address = f"sqlite:///{folder / 'demo.sqlite3'}"
        super().__init__(database_url=address, log=folder / "demo.log", port=free_port(), **given)
        del self.env["SECRET_KEY"], self.env["BUILTIN_WORDS_PER_SECOND"]

    def start(self, *, wait: bool = True) -> Demo:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "manage.py", "demo"], cwd=ROOT, env=self.env, stdout=log)
        self.wait_ready()
        return self

    @property
    def printed(self) -> str:
        return self.log.read_text()

    def found(self, pattern: str) -> str:
        match = re.search(pattern, self.printed)
        assert match, self.printed
        return match[0]


def block(language: str, mark: str) -> str:
    """The one code block of this language that holds `mark`."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (found,) = (text for text in blocks if mark in text)
    return found
