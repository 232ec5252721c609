"""How is the service served? `python -m lexicon.serve` runs uvicorn as the contract needs it."""

from __future__ import annotations

import os
import sys
from types import FrameType

import uvicorn


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


def main() -> int:
    """Serve until a signal; the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lexicon.settings")
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    server = Server(
        uvicorn.Config(
            "lexicon.asgi:application",
            host=settings.HOST,
            port=settings.PORT,
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            lifespan="on",
            # CONTRACT, guarantee 6: a frame over 1 MiB closes with 1009.
            ws_max_size=1024 * 1024,
            # Compression costs 70-125 KB a socket and a third of the throughput (measured).
            ws_per_message_deflate=False,
            ws_ping_interval=20,
            ws_ping_timeout=20,
            # SSE responses may go on as long as replies may; a little longer, so that each gets its last event.
            timeout_graceful_shutdown=int(settings.DRAIN_SECONDS) + 2,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.TRUSTED_PROXIES),
            forwarded_allow_ips=settings.TRUSTED_PROXIES,
        )
    )
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
