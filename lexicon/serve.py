"""How is the service served? `python -m lexicon.serve` runs uvicorn as the contract needs it.

With WEB_CONCURRENCY over 1 it starts so many of itself, each with the number of the listening socket and of the pipe
that tells whether its parent lives: `--worker 5 6`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import os
import socket
import sys
import tempfile
from types import FrameType

import uvicorn

from lexicon.server.open_files import backlog, raise_limit
from lexicon.server.workers import stop_with_parent, supervise

#: How much longer than replies an SSE response may go on after SIGTERM, so that each gets its last event.
_LAST_EVENTS_SECONDS = 2
#: How much longer than that a worker may take to end before its parent kills it.
_ENDING_SECONDS = 6
#: What glibc is told of memory (malloc.h): at most two arenas, and from 128 KiB on each text by itself.
_MALLOC = {"M_ARENA_MAX": (-8, 2), "M_MMAP_THRESHOLD": (-3, 128 * 1024)}


class Server(uvicorn.Server):
    """uvicorn, which tells the engine of SIGTERM at once and then ends with exit code 0.

    Stock uvicorn speaks to the application only when all responses have ended, and then dies of the
    signal it was sent.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal asks the process to stop."""
        from streaming.engine import drain

        super().handle_exit(sig, frame)
        self._captured_signals.clear()
        drain()


def main(arguments: list[str]) -> int:
    """Serve until a signal; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lexicon.serve", description="Serve Lexicon.")
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    worker = parser.parse_args(arguments).worker
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lexicon.settings")
    _give_memory_back()
    raise_limit()
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if worker is not None:
        listening, parent = worker
        stop_with_parent(parent)
        return _serve(_config(), socket.socket(fileno=listening))
    from lexicon.checks import allow_serving

    if not allow_serving():
        return 2
    config = _config()
    with config.bind_socket() as sock:
        _bound_silence(sock, settings.SLOW_READER_SECONDS)
        return _serve(config, sock) if settings.WEB_CONCURRENCY == 1 else _supervise(config, sock)


def _config() -> uvicorn.Config:
    from django.conf import settings

    from lexicon.server.http_protocol import HttpProtocol
    from lexicon.server.websocket_protocol import WebSocketProtocol

    return uvicorn.Config(
        "lexicon.asgi:application",
        host=settings.HOST,
        port=settings.PORT,
        backlog=backlog(),
        loop="uvloop",
        http=HttpProtocol,
        ws=WebSocketProtocol,
        lifespan="on",
        # CONTRACT, guarantee 6: a frame over 1 MiB closes with 1009.
        ws_max_size=1024 * 1024,
        # Compression costs 70-125 KB a socket and a third of the throughput (measured).
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_graceful_shutdown=int(settings.DRAIN_SECONDS) + _LAST_EVENTS_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
        # lexicon/http/proxies.py does it.
        proxy_headers=False,
    )


def _give_memory_back() -> None:
    """Have long texts leave nothing behind. By itself, glibc keeps what was freed, for each thread apart.

    It also raises its threshold with each long text that is freed, up to 32 MiB (mallopt(3)). With replies of 20 MB a
    process held 600 to 850 MB; now it is 330 to 460 (`make faults`, F7). Other C libraries have no such call.
    """
    with contextlib.suppress(OSError, AttributeError):
        for number, value in _MALLOC.values():
            ctypes.CDLL(None).mallopt(number, value)


def _bound_silence(sock: socket.socket, seconds: float) -> None:
    """Let the kernel cut clients that acknowledge nothing, or take nothing, for so long: connections inherit it.

    It sees what waits in its own buffers, where lexicon/server/slow_clients.py does not look. Linux only.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _serve(config: uvicorn.Config, sock: socket.socket) -> int:
    # Before signals are taken: a handler that imports what is half imported fails, and the signal is lost with it.
    config.load()
    # What is imported by now stays for good. Looking through it for garbage held up the event loop for 80 ms.
    gc.freeze()
    server = Server(config)
    server.run(sockets=[sock])
    return 0 if server.started else 1


def _supervise(config: uvicorn.Config, sock: socket.socket) -> int:
    from django.conf import settings
    from django.db import connections

    database = connections["default"]
    if hasattr(database, "close_pool"):  # PostgreSQL's. The checks opened it, and nothing here asks for more.
        database.close_pool()
    workers_end, _parents_end = os.pipe()
    descriptors = (sock.fileno(), workers_end)
    assert config.timeout_graceful_shutdown is not None
    with tempfile.TemporaryDirectory(prefix="lexicon-metrics-") as folder:
        # Where workers count together; prometheus_client looks for it.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        return asyncio.run(
            supervise(
                count=settings.WEB_CONCURRENCY,
                command=[sys.executable, "-m", "lexicon.serve", "--worker", *map(str, descriptors)],
                descriptors=descriptors,
                stop_seconds=config.timeout_graceful_shutdown + _ENDING_SECONDS,
            )
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
