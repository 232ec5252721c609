"""A tenant's own site, which has the widget: the worked example of docs/tokens-and-widget.md, run as it is written."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.servers import ROOT, Server, free_port

TEXT = (ROOT / "docs/tokens-and-widget.md").read_text()


def example(language: str, mark: str) -> str:
    """The one code block of this language that holds `mark`."""
    (found,) = (block for block in re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S) if mark in block)
    return found


class Shop:
    """The example's backend on a port of its own, and the pages it serves."""

    def __init__(self, folder: Path, server: Server, *, tenant_id: object, key: str) -> None:
        self.port = free_port()
        self.server = server
        self._tenant_id = str(tenant_id)
        self._folder = folder
        (folder / "public").mkdir()
        (folder / "shop.py").write_text(self._here(example("python", "ThreadingHTTPServer")))
        self.add("index.html", example("html", "<h1>"))
        self._env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "clients/python/src"), "TENANT_KEY": key}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, name: str, text: str) -> None:
        """One more page or file of the site."""
        (self._folder / "public" / name).write_text(self._here(text))

    def start(self) -> Shop:
        with (self._folder / "shop.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "shop.py"], cwd=self._folder, env=self._env, stdout=log, stderr=log
            )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert self._process.poll() is None, (self._folder / "shop.log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise AssertionError("the shop did not open")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def _here(self, text: str) -> str:
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.server.port}").replace("TENANT_ID", self._tenant_id)
        return text.replace('("127.0.0.1", 9000)', f'("127.0.0.1", {self.port})')
