"""A server that is watched: what it logs, what it counts, and what it reports to elsewhere."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dj_database_url
import httpx
import pytest
from django.db import connections

from tests import settings as test_settings
from tests.conftest import new_database
from tests.support.servers import Server

#: Several processes need PostgreSQL.
collect_ignore = ["test_several.py"] if test_settings.ON_SQLITE else []


@dataclass
class Elsewhere:
    """What was sent to a Sentry and to a collector of traces, both of which are this."""

    url: str = ""
    #: The bodies, by the last part of the path.
    bodies: dict[str, list[bytes]] = field(default_factory=dict)

    def text(self) -> str:
        return "\n".join(body.decode(errors="replace") for bodies in self.bodies.values() for body in bodies)

    def failures(self) -> list[dict[str, Any]]:
        """What Sentry was told of: an envelope is lines of JSON, of which those of events name a level."""
        lines = [json.loads(line) for body in self.bodies.get("envelope", []) for line in body.splitlines() if line]
        return [line for line in lines if "level" in line]

    def spans(self) -> list[Any]:
        """What the collector was told of."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies.get("traces", [])]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    told = Elsewhere()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
            told.bodies.setdefault(self.path.rstrip("/").rpartition("/")[2], []).append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def folder_of_module(tmp_path_factory: Any) -> Path:
    return tmp_path_factory.mktemp("watched")


@pytest.fixture(scope="module")
def database_of_module(pristine: str, folder_of_module: Path, django_db_blocker: Any) -> Iterator[str]:
    """A database for the tests of one module and the server they watch; this process's ORM is pointed at it."""
    with (
        new_database(pristine, folder_of_module) as address,
        pytest.MonkeyPatch.context() as patch,
        django_db_blocker.unblock(),
    ):
        connections.close_all()
        parsed = dj_database_url.parse(address)
        for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT"):
            patch.setitem(connections.settings["default"], name, parsed[name])
        yield address
        connections.close_all()


@pytest.fixture(scope="module")
def watched(
    database_of_module: str, model_server: str, elsewhere: Elsewhere, folder_of_module: Path
) -> Iterator[Server]:
    """A server that says and reports all it may."""
    server = Server(
        database_url=database_of_module,
        log=folder_of_module / "server.log",
        OPENAI_BASE_URL=model_server,
        OPENAI_API_KEY="canary-of-the-model-key",
        LOG_LEVEL="DEBUG",
        SENTRY_DSN=elsewhere.url.replace("://", "://public@") + "/1",
        OTEL_EXPORTER_OTLP_ENDPOINT=elsewhere.url,
    )
    try:
        yield server.start()
    finally:
        server.close()


def lines(server: Server) -> list[dict[str, Any]]:
    """What the server has logged."""
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def metrics(server: Server, **headers: str) -> dict[str, float]:
    """What `/metrics` gives, by the name with its labels."""
    text = httpx.get(server.http + "/metrics", headers=headers, verify=False).text
    rows = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}
