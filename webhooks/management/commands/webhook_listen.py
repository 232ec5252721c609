"""What arrives at an endpoint? A receiver for development, which prints it."""

from __future__ import annotations

import argparse
import hmac
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from standardwebhooks import Webhook, WebhookVerificationError

from webhooks.signing import body_signature


class Command(BaseCommand):
    help = (
        "Listen on this machine, print every webhook that arrives and, with --secret, whether its signatures hold. "
        "The service sends to http://127.0.0.1:PORT/ only with OUTBOUND_ALLOW=127.0.0.1 in its environment "
        "(`make run` sets it)."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=9000, help="where to listen (default: 9000)")
        parser.add_argument("--secret", help="the endpoint's secret, whsec_…, as it was shown")
        parser.add_argument("--status", type=int, default=204, help="what to answer (default: 204)")

    def handle(self, *args: Any, port: int, secret: str | None, status: int, **options: Any) -> None:
        if secret is not None:
            try:
                Webhook(secret)
            except Exception as error:
                raise CommandError(f"--secret is none: it looks like whsec_ and 44 characters. ({error})") from error

        def say(text: str) -> None:
            self.stdout.write(text)
            self.stdout.flush()

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                say(f"{self.headers.get('webhook-id')} {self.path}")
                if secret is not None:
                    for line in judge(body, dict(self.headers.items()), secret):
                        say(f"  {line}")
                say(pretty(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
        except OSError as error:
            raise CommandError(
                f"Port {port} can not be listened on: {error.strerror}. --port names another."
            ) from error
        say(f"Listening on http://127.0.0.1:{server.server_port}/, answering {status}. Ctrl-C ends it.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.server_close()


def judge(body: bytes, headers: dict[str, str], secret: str) -> list[str]:
    """What is to be said of both signatures."""
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
        standard = "holds"
    except WebhookVerificationError as error:
        standard = f"DOES NOT HOLD: {error}"
    given = {name.lower(): value for name, value in headers.items()}.get("x-lexicon-signature", "")
    holds = hmac.compare_digest(given.encode(), body_signature(secret=secret, body=body).encode())
    return [f"webhook-signature {standard}", f"X-Lexicon-Signature {'holds' if holds else 'DOES NOT HOLD'}"]


def pretty(body: bytes) -> str:
    """The JSON, to be read by people; as it is where it is none."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return repr(body)
