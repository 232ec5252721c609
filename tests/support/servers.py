"""Real server processes for tests: started, waited for, stopped, killed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from tests.support.forkserver import ROOT, Child, start_python

#: Read when a program or an interpreter starts, so that a forked one knows nothing of it.
AT_START = {"LD_PRELOAD", "PYTHONPROFILEIMPORTTIME"}

#: All tests come from one address, and have it to themselves.
PLENTY = {
    "STRANGERS_PER_MINUTE": "1000000",
    "VISITORS_PER_HOUR": "1000000",
    "VISITOR_MESSAGES_PER_MINUTE": "1000000",
    "VISITOR_CONNECTIONS": "10000",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(port: int) -> bool:
    """Whether a server listens there that may be spoken to."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        # Two processes on one database without Redis serve, but are nothing to send traffic to.
        return answer.status == 200 or b"set REDIS_URL" in answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Server:
    """One process of the service under a real ASGI server."""

    #: Whether it is forked from a process that has imported its libraries (tests/support/forkserver.py). The tests say
    #: so; what is measured starts as it does everywhere.
    forked: ClassVar[bool] = False

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
            **PLENTY,
            **env,
        }
        self.process: subprocess.Popen[bytes] | Child | None = None

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def command(self) -> list[str]:
        """What an interpreter is told to run."""
        if self.kind == "daphne":
            return ["-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port), "lexicon.asgi:application"]
        return ["-m", "lexicon.serve"]

    def start(self, *, wait: bool = True) -> Server:
        with self.log.open("ab") as log:
            if self.forked and self.kind != "daphne" and not self.env.keys() & AT_START:
                self.process = start_python(self.command, env=self.env, stdout=log.fileno(), stderr=log.fileno())
            else:
                command = [sys.executable, *self.command]
                self.process = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 90) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log.read_text()}")
            if is_ready(self.port):
                return
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
