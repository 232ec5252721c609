"""How does a test's process start without the second of processor time that its imports take?

`python -m tests.support.forkserver` imports the libraries that the service needs, none of its own modules, and forks
for each process that is asked for. The child is given arguments, environment, folder and outputs of its own, and from
there on runs what a new interpreter would have run. It is a process like any other: it has its own pid, hears its own
signals, dies of `kill -9` and has an exit code.

What must be seen from its first instruction starts as usual: an interpreter with other libraries preloaded
(`LD_PRELOAD`), the programs of the package, the image and `make run`, and daphne, whose reactor can not be forked.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).resolve().parents[2]

#: What the service imports of others, as far as it neither reads the environment nor starts anything.
LIBRARIES = (
    *("aiohttp", "asgiref.sync", "asgiref.server", "asyncio", "channels.generic.websocket", "channels.layers"),
    *("channels.routing", "channels_redis.pubsub", "cryptography.fernet", "dj_database_url", "django.contrib.admin"),
    *("django.contrib.staticfiles", "django.core.asgi", "django.core.management", "django.db.backends.sqlite3.base"),
    *("django.db.models", "django.forms", "django.test", "django.urls", "environs", "httptools", "orjson"),
    *("prometheus_client.multiprocess", "psycopg", "psycopg_pool", "redis.asyncio", "rest_framework", "servestatic"),
    *("sqlite3", "uvicorn.lifespan.on", "uvicorn.main", "uvicorn.protocols.http.httptools_impl", "uvloop"),
    *("uvicorn.protocols.websockets.websockets_sansio_impl", "websockets"),
)


class Child:
    """A process that was forked: as much of `subprocess.Popen` as the tests use of a server."""

    def __init__(self, arguments: Sequence[str], pid: int, ending: socket.socket) -> None:
        self.args = arguments
        self.pid = pid
        self.returncode: int | None = None
        #: Where the fork server says how it ended.
        self._ending = ending

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._ending], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
            self.returncode = int(self._ending.recv(100) or -signal.SIGKILL)
            self._ending.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that forks others, as seen by the one that asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forkserver", str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._asking.close()
        self._process.wait(10)

    def start(self, arguments: Sequence[str], *, env: Mapping[str, str], stdout: int, stderr: int) -> Child:
        """A process that runs `python <arguments>` in the repository's folder, with nothing but `env`."""
        ending, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            asked = json.dumps([list(arguments), dict(env)]).encode()
            socket.send_fds(self._asking, [asked], [stdout, stderr, theirs.fileno()])
            return Child(arguments, int(self._asking.recv(100)), ending)


_nursery: Nursery | None = None
_lock = threading.Lock()


def start_python(arguments: Sequence[str], *, env: Mapping[str, str], stdout: int, stderr: int) -> Child:
    """A process that runs `python <arguments>`, forked by this process's fork server."""
    global _nursery
    with _lock:
        _nursery = _nursery or Nursery()
    return _nursery.start(arguments, env=env, stdout=stdout, stderr=stderr)


def run_python(
    arguments: Sequence[str], *, env: Mapping[str, str], timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """What `python <arguments>` in the repository's folder printed, and how it ended: as `subprocess.run`."""
    with TemporaryFile() as out, TemporaryFile() as err:
        child = start_python(arguments, env=env, stdout=out.fileno(), stderr=err.fileno())
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess([sys.executable, *arguments], code, *texts)


# --- In the fork server ---


def main(asked: socket.socket) -> None:
    """Fork for each that asks, until nobody is left who could."""
    for name in LIBRARIES:
        importlib.import_module(name)
    # What all share is left where it is.
    gc.collect()
    gc.freeze()
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    endings: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([asked, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _tell(endings)
        if asked in ready:
            request, descriptors, _, _ = socket.recv_fds(asked, 1024 * 1024, 3)
            if not request:
                break
            arguments, environment = json.loads(request)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for number, descriptor in enumerate(descriptors[:2], start=1):
                    os.dup2(descriptor, number)
                for ending in endings.values():
                    ending.close()
                for descriptor in (*descriptors, ended, wake):
                    os.close(descriptor)
                asked.close()
                _run(arguments, environment)
                return
            os.close(descriptors[0])
            os.close(descriptors[1])
            endings[pid] = socket.socket(fileno=descriptors[2])
            asked.send(str(pid).encode())
    for pid in endings:
        os.kill(pid, signal.SIGKILL)


def _tell(endings: dict[int, socket.socket]) -> None:
    while endings:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with endings.pop(pid) as ending, contextlib.suppress(OSError):
            ending.send(str(os.waitstatus_to_exitcode(status)).encode())


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    """Be what `python <arguments>` is."""
    os.environ.clear()
    os.environ.update(environment)
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
