"""How are the servers started that are measured? Each in a process of its own, on a free port of this machine."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg

from benchmarks.places import PEERS_PYTHON, ROOT
from tests.support.servers import Server, free_port

_LIMITS = ["--rest-per-minute", "1000000", "--ws-messages-per-second", "1000", "--ws-connections", "100000"]
_UVICORN = ["-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log"]


@dataclass
class Lexicon:
    """The service, one process, with one tenant: credits, limits and keys as in production."""

    server: Server
    api_key: str
    customer_key: str

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.server.process is not None
        return self.server.process.pid


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="lexicon-bench-") as folder:
        yield Path(folder)


@contextmanager
def new_postgresql(url: str) -> Iterator[str]:
    """The address of an empty database on this server, which is gone afterwards."""
    name = f"lexicon_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def lexicon(database_url: str, log: Path, *, articles: bool = False, **env: str) -> Iterator[Lexicon]:
    """Lexicon on an empty database; `articles` brings the demo's."""
    server = Server(database_url=database_url, log=log, **env)
    _manage(server, "migrate", "-v0")
    made = _manage(server, "create_tenant", "Bench", "--json", "--credits", "100000000", *_LIMITS)
    keys = json.loads(made.splitlines()[-1])
    if articles:
        code = (
            "from knowledge.demo import save_demo_articles; from tenants.models import Tenant; "
            "save_demo_articles(Tenant.objects.get())"
        )
        _manage(server, "shell", "-c", code)
    server.start()
    try:
        yield Lexicon(server, keys["api_key"], keys["customer_key"])
    finally:
        server.close()


def _manage(server: Server, *command: str) -> str:
    arguments = [sys.executable, "manage.py", *command]
    return subprocess.run(arguments, cwd=ROOT, env=server.env, check=True, capture_output=True, text=True).stdout


@dataclass
class Other:
    """A server that is not Lexicon."""

    pid: int
    address: str
    #: What it wants to be shown; "" where it asks nobody.
    key: str = ""


@contextmanager
def bare(pace: str) -> Iterator[Other]:
    """The least a server can do."""
    command = [sys.executable, *_UVICORN, "--ws", "websockets-sansio", "--ws-per-message-deflate", "false"]
    with _served([*command, "benchmarks.bare:application"], path="/", BUILTIN_WORDS_PER_SECOND=pace) as other:
        yield other


@contextmanager
def fastapi_relay(upstream: str) -> Iterator[Other]:
    """The hand-written relay."""
    command = [str(PEERS_PYTHON), *_UVICORN, "benchmarks.peers.fastapi_relay:app"]
    with _served(command, path="/openapi.json", UPSTREAM=upstream) as other:
        yield other


@contextmanager
def litellm_proxy(upstream: str, log: Path) -> Iterator[Other]:
    """The LiteLLM proxy. It refuses to start without a key of its own."""
    key = "sk-" + secrets.token_hex(32)
    command = [str(PEERS_PYTHON.with_name("litellm")), "--config", "benchmarks/peers/litellm.yaml"]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    env = {"UPSTREAM": f"{upstream}/v1", "LITELLM_MASTER_KEY": key, **offline}
    command += ["--host", "127.0.0.1", "--telemetry", "False"]
    with _served(command, path="/health/liveliness", log=log, **env) as other:
        other.key = key
        yield other


@contextmanager
def _served(command: list[str], *, path: str, log: Path | None = None, **env: str) -> Iterator[Other]:
    port = free_port()
    output = log.open("wb") if log else None
    process = subprocess.Popen(
        [*command, "--port", str(port)], cwd=ROOT, env={**os.environ, **env}, stdout=output, stderr=output
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, address + path)
        yield Other(process.pid, address)
    finally:
        process.kill()
        process.wait()
        if output:
            output.close()


def _wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            httpx.get(url)
            return
        except httpx.TransportError:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended with {process.returncode}") from None
            time.sleep(0.05)
    raise RuntimeError(f"{process.args} did not answer")
