"""`manage.py webhook_listen` prints what arrives and whether it is signed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.support.servers import ROOT
from webhooks.signing import headers, new_secret

SECRET = new_secret()
BODY = '{"event":"webhook.test","text":"grüß dich"}'


class Listening:
    """The command as a process."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "webhook_listen", "--port", "0", *options],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "SECRET_KEY": "x" * 50, "PYTHONIOENCODING": "utf-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        found = re.search(r"http://127\.0\.0\.1:\d+/", self.line())
        assert found
        self.url = found[0]

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def listening(request: pytest.FixtureRequest) -> Iterator[Listening]:
    running = Listening(*request.param)
    yield running
    running.close()


def post(listening: Listening, *, secret: str = SECRET) -> httpx.Response:
    sent = headers(webhook_id="msg_1", body=BODY, secrets=[secret])
    return httpx.post(listening.url + "hook", content=BODY.encode(), headers=sent, verify=False)


@pytest.mark.parametrize("listening", [("--secret", SECRET)], indirect=True)
def test_it_prints_what_arrives_and_that_it_is_signed(listening: Listening) -> None:
    assert post(listening).status_code == 204
    assert [listening.line().rstrip() for _ in range(4)] == [
        "msg_1 /hook",
        "  webhook-signature holds",
        "  X-Lexicon-Signature holds",
        "{",
    ]
    assert listening.line() == '  "event": "webhook.test",\n'
    assert listening.line() == '  "text": "grüß dich"\n'


@pytest.mark.parametrize("listening", [("--secret", SECRET)], indirect=True)
def test_it_says_when_somebody_else_signed(listening: Listening) -> None:
    post(listening, secret=new_secret())
    assert listening.line() == "msg_1 /hook\n"
    assert listening.line() == "  webhook-signature DOES NOT HOLD: No matching signature found\n"
    assert listening.line() == "  X-Lexicon-Signature DOES NOT HOLD\n"


@pytest.mark.parametrize("listening", [("--status", "500")], indirect=True)
def test_it_answers_what_it_is_told_to(listening: Listening) -> None:
    assert post(listening).status_code == 500


def test_a_secret_that_is_none_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "webhook_listen", "--secret", "whsec_!"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SECRET_KEY": "x" * 50},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "--secret is none: it looks like whsec_" in done.stderr
