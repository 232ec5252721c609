"""What docs/webhooks.md and the OpenAPI document say of webhooks is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from chats.changes import change_chat
from chats.models import Process
from chats.staff_replies import post_person_reply
from lexicon.documents import openapi
from lexicon.documents.webhooks import TOLD, body
from tests.chats.conftest import end
from tests.documents.contract import problems
from tests.documents.test_markdown import blocks, node
from tests.support.actors import Actor
from tests.support.servers import free_port
from tests.webhooks.conftest import deliveries, new_chat, new_endpoint
from tests.webhooks.test_outbox import post
from webhooks.claims import ATTEMPT_SECONDS, KEPT_DAYS
from webhooks.models import Endpoint
from webhooks.schedule import DELAYS
from webhooks.signing import GRACE_HOURS, headers, new_secret

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECRET = new_secret()


def test_every_event_is_described() -> None:
    events = {str(event) for event, _ in Endpoint.EVENTS}
    assert set(map(str, TOLD)) == events == set(re.findall(r"^\| `([a-z.]+)`", PAGE, re.MULTILINE))


def test_the_example_is_as_documented() -> None:
    [example] = map(json.loads, blocks("webhooks.md", "json"))
    assert problems(example, body("conversation.escalated"), openapi.document()) == []


def test_what_is_sent_is_as_documented(acme: Actor) -> None:
    new_endpoint(acme)
    chat = new_chat(acme, metadata={"order": {"number": 1042}})
    posted = post(acme, chat, process=Process.objects.create().id, metadata={"page": "/"})
    assert posted.reply is not None
    end(posted.reply, escalate="The user asked for a person")
    post_person_reply(tenant_id=acme.tenant_id, chat_id=chat.id, content="Here I am.", author_name="Sam")
    change_chat(tenant_id=acme.tenant_id, chat_id=chat.id, status="closed")
    told = [json.loads(delivery.body) for delivery in deliveries(acme)]
    assert sorted({each["event"] for each in told}) == sorted(map(str, TOLD))
    assert len(told) == 5
    for each in told:
        assert problems(each, body(each["event"]), openapi.document()) == []


def test_the_figures_of_the_page_are_the_codes() -> None:
    assert f"within {ATTEMPT_SECONDS:.0f} seconds" in PAGE
    assert f"kept for {KEPT_DAYS} days" in PAGE
    assert f"For {GRACE_HOURS} hours" in PAGE
    assert list(DELAYS) == [0, 5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24))]
    assert "5 seconds, 5 and 30 minutes, 2, 5, 10, 14, 20 and 24 hours" in " ".join(PAGE.split())


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_the_receivers_of_the_page_believe_us_and_nobody_else(language: str, tmp_path: Path) -> None:
    [program] = blocks("webhooks.md", language)
    path = tmp_path / ("receiver.py" if language == "python" else "receiver.mjs")
    path.write_text(program)
    port = free_port()
    command = [sys.executable] if language == "python" else node()
    env = {"PATH": os.environ["PATH"], "PORT": str(port), "WEBHOOK_SECRET": SECRET}
    running = subprocess.Popen([*command, str(path)], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert post_to(port, SECRET) == 204
        assert running.stdout is not None
        assert running.stdout.readline() == b"msg_1 message.created\n"
        assert post_to(port, new_secret()) == 400
    finally:
        running.kill()
        running.communicate()


def post_to(port: int, secret: str, *, seconds: float = 30) -> int:
    """What the receiver answers, once it listens."""
    content = '{"event":"message.created","text":"grüß dich"}'
    sent = headers(webhook_id="msg_1", body=content, secrets=[secret])
    until = time.monotonic() + seconds
    while True:
        try:
            return httpx.post(
                f"http://127.0.0.1:{port}/", content=content.encode(), headers=sent, verify=False
            ).status_code
        except httpx.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.05)
