"""The README's commands do what it says, as they are written: only the address and the keys are this test's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.readme.demo import CUSTOMER_KEY, TENANT_KEY, Demo, block
from tests.support.servers import ROOT

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    server = Demo(tmp_path_factory.mktemp("demo"))
    try:
        yield server.start()
    finally:
        server.close()


def run(demo: Demo, command: list[str], code: str, folder: Path, name: str) -> str:
    """What the program prints."""
    program = folder / name
    program.write_text(code.replace("127.0.0.1:8000", f"127.0.0.1:{demo.port}"))
    env = {
        "PATH": os.environ["PATH"],
        # Installing it is tests/clients' business.
        "PYTHONPATH": str(ROOT / "clients/python/src"),
        "TENANT_KEY": demo.found(TENANT_KEY),
        "CUSTOMER_KEY": demo.found(CUSTOMER_KEY),
    }
    done = subprocess.run([*command, str(program)], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_quick_start_streams_the_business_hours(demo: Demo, tmp_path: Path) -> None:
    told = run(demo, ["bash", "-euo", "pipefail"], block("bash", "CONVERSATION="), tmp_path, "quick.sh")
    lines = [line.removeprefix("data: ") for line in told.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    assert len(lines) > 5
    assert "hours" in told.lower()


def test_the_javascript_quick_start_prints_a_reply(demo: Demo, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node, "the JavaScript quick start needs node"
    major = int(subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip("v").split(".")[0])
    command = [node] if major >= 22 else [node, "--experimental-websocket"]
    told = run(demo, command, block("javascript", "message_stream_token"), tmp_path, "quick.mjs")
    assert "deliver" in told.lower() or "shipping" in told.lower()
    assert len(told.split()) > 10


def test_the_python_quick_start_prints_a_reply(demo: Demo, tmp_path: Path) -> None:
    told = run(demo, [sys.executable], block("python", "lexicon_client"), tmp_path, "quick.py")
    assert "return" in told.lower()
    assert len(told.split()) > 10


def test_a_second_run_prints_the_same_keys_and_login(tmp_path: Path) -> None:
    server = Demo(tmp_path).start()
    try:
        first = server.printed
        assert server.terminate() == 0
        assert server.start().printed == first
    finally:
        server.close()


def test_the_login_it_prints_opens_the_admin(demo: Demo) -> None:
    password = demo.found(r"(?<=admin / )\S+")
    with httpx.Client(base_url=demo.http, follow_redirects=True) as browser:
        token = browser.get("/admin/login/").cookies["csrftoken"]
        form = {"username": "admin", "password": password, "csrfmiddlewaretoken": token, "next": "/admin/"}
        page = browser.post("/admin/login/", data=form, headers={"Referer": demo.http})
    assert page.status_code == 200
    assert "Log out" in page.text
    assert "Chats" in page.text


def test_the_demo_secrets_are_the_owners_alone(demo: Demo) -> None:
    (secrets,) = demo.log.parent.glob("*.secrets.json")
    assert secrets.stat().st_mode & 0o777 == 0o600
