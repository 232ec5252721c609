"""Real server processes for tests: started, waited for, stopped, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One process of the service under a real ASGI server."""

    def __init__(
        self, *, database_url: str, log: Path, kind: str = "uvicorn", port: int | None = None, **env: str
    ) -> None:
        self.kind = kind
        self.port = port or free_port()
        self.log = log
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "SECRET_KEY": "only-for-tests-" + "x" * 50,
            "DATABASE_URL": database_url,
            "PORT": str(self.port),
            "REDIS_URL": os.environ.get("TEST_REDIS_URL", ""),
            "BUILTIN_WORDS_PER_SECOND": "0",
            **env,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self, *, wait: bool = True) -> Server:
        command = {
            "uvicorn": ["-m", "lexicon.serve"],
            "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), "lexicon.asgi:application"],
        }[self.kind]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=self.env, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 90) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log.read_text()}")
            try:
                answer = httpx.get(self.http + "/readyz", timeout=5)
                # Two processes on one database without Redis serve, but are nothing to send traffic to.
                if answer.status_code == 200 or "set REDIS_URL" in answer.text:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server was not ready in {seconds} s:\n{self.log.read_text()}")

    def terminate(self, seconds: float = 40) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
