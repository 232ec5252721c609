"""`make run`: everything set up, remembered, and served."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command

from knowledge.models import Article
from tenants.authentication import open_key
from tenants.models import ApiKey, Tenant
from tests.support.servers import ROOT, free_port, is_ready

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once


@pytest.fixture
def secrets_file(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command keeps its file in this test."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'demo.sqlite3'}")
    return tmp_path / "demo.sqlite3.secrets.json"


class Printed:
    """What the command printed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tenant_key = self._only(r"Tenant key +(lxt_\w+)")
        self.customer_key = self._only(r"Customer key +(lxc_\w+)")
        self.password = self._only(r"admin / (\S+)")

    def _only(self, pattern: str) -> str:
        [found] = re.findall(pattern, self.text)
        return found

    @property
    def credentials(self) -> tuple[str, str, str]:
        return self.tenant_key, self.customer_key, self.password


def demo() -> Printed:
    out = StringIO()
    call_command("demo", no_serve=True, stdout=out, no_color=True)
    return Printed(out.getvalue())


def works(printed: Printed) -> bool:
    kinds = (open_key(printed.tenant_key).kind, open_key(printed.customer_key).kind)
    return kinds == ("tenant", "customer") and authenticate(username="admin", password=printed.password) is not None


def test_what_it_prints_works(secrets_file: Path) -> None:
    assert works(demo())
    assert User.objects.get(username="admin").is_superuser


def test_the_demo_shop_knows_its_articles(secrets_file: Path) -> None:
    demo()
    tenant = Tenant.objects.get(name="Demo shop")
    assert Article.objects.for_tenant(tenant.id).count() >= 10


def test_a_second_run_prints_the_same_and_makes_nothing(secrets_file: Path) -> None:
    first = demo()
    rows = (ApiKey.objects.all_tenants().count(), Article.objects.all_tenants().count(), Tenant.objects.count())
    assert demo().text == first.text
    assert rows == (ApiKey.objects.all_tenants().count(), Article.objects.all_tenants().count(), Tenant.objects.count())


def test_only_its_owner_may_read_the_file(secrets_file: Path) -> None:
    demo()
    assert stat.S_IMODE(secrets_file.stat().st_mode) == 0o600


def test_a_new_database_gets_the_keys_and_login_of_the_file(secrets_file: Path) -> None:
    first = demo()
    Tenant.objects.all().delete()
    User.objects.all().delete()
    again = demo()
    assert again.text == first.text
    assert works(again)


def test_without_the_file_the_keys_and_password_are_new_and_it_says_so(secrets_file: Path) -> None:
    first = demo()
    secrets_file.unlink()
    again = demo()
    assert not set(first.credentials) & set(again.credentials)
    assert works(again)
    assert "did not know the keys: these are new ones." in again.text
    assert "did not know the password of admin: it is a new one." in again.text
    assert Tenant.objects.count() == 1


def test_a_key_that_was_revoked_is_replaced_and_it_says_so(secrets_file: Path) -> None:
    first = demo()
    key = open_key(first.tenant_key)
    key.revoked_at = key.created_at
    key.save()
    again = demo()
    assert again.tenant_key != first.tenant_key
    assert again.customer_key == first.customer_key
    assert works(again)
    assert "The tenant key was revoked: this is a new one." in again.text


def test_a_password_that_was_changed_is_left_alone_and_it_says_so(secrets_file: Path) -> None:
    demo()
    admin = User.objects.get(username="admin")
    admin.set_password("their own")
    admin.save()
    assert "The password of admin was changed" in demo().text
    assert authenticate(username="admin", password="their own") is not None


def test_an_article_that_was_deleted_stays_deleted(secrets_file: Path) -> None:
    demo()
    article = Article.objects.all_tenants().order_by("title")[0]
    article.delete()
    demo()
    assert not Article.objects.all_tenants().filter(title=article.title).exists()


class Run:
    """`manage.py demo` as `make run` calls it, on a database that is not there yet."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self.log = folder / "run.log"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.env = {**kept, "DATABASE_URL": f"sqlite:///{folder / 'fresh.sqlite3'}", "PORT": str(port)}
        with self.log.open("w") as log:
            command = [sys.executable, str(ROOT / "manage.py"), "demo"]
            self.process = subprocess.Popen(command, cwd=folder, env=self.env, stdout=log, stderr=log)

    def until_ready(self) -> Printed:
        until = time.monotonic() + 60
        while not is_ready(self.port):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        return Printed(self.log.read_text().partition("Serving until")[0])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


def test_it_serves_from_nothing_and_the_second_time_the_same(tmp_path: Path) -> None:
    port = free_port()
    printed = []
    for _ in range(2):
        run = Run(tmp_path, port)
        try:
            printed.append(run.until_ready())
            key = {"X-API-Key": printed[-1].tenant_key}
            assert httpx.post(run.base + "/api/v1/chats/", headers=key, json={"user_id": "alice"}).status_code == 201
            assert log_in(run.base, printed[-1].password)
            assert run.stop() == 0
        finally:
            run.process.kill()
            run.process.wait()
    assert printed[0].text == printed[1].text
    assert json.loads((tmp_path / "fresh.sqlite3.secrets.json").read_text())["SECRET_KEY"]


def test_two_that_start_at_once_make_one_demo(tmp_path: Path) -> None:
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env["DATABASE_URL"] = f"sqlite:///{tmp_path / 'fresh.sqlite3'}"
    command = [sys.executable, str(ROOT / "manage.py"), "demo", "--no-serve"]
    runs = [
        subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [run.communicate(timeout=100) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert Printed(told[0][0]).credentials == Printed(told[1][0]).credentials


def log_in(base: str, password: str) -> bool:
    with httpx.Client(base_url=base, follow_redirects=True) as browser:
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get("/admin/").text)[0]
        form = {"username": "admin", "password": password, "csrfmiddlewaretoken": token, "next": "/admin/"}
        return "Waiting for a person" in browser.post("/admin/login/", data=form).text


def test_it_says_so_when_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = Run(tmp_path, taken.getsockname()[1])
        assert run.process.wait(60) == 1
    assert "can not be listened on: Address already in use" in run.log.read_text()
    assert not (tmp_path / "fresh.sqlite3").exists()
