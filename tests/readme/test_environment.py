"""`.env.example` lists every variable, and the service starts with it as it is."""

from __future__ import annotations

import os
import re
import subprocess

import httpx
import pytest

from tests.support.forkserver import run_python
from tests.support.servers import ROOT, Server

LISTED = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
READ = set(re.findall(r'given\(env\.\w+, "([A-Z_]+)"', (ROOT / "lexicon" / "settings.py").read_text()))


def check(**env: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check` with nothing else in its environment."""
    return run_python(["manage.py", "check"], env={"PATH": os.environ["PATH"], **env})


def test_every_variable_that_is_read_is_listed() -> None:
    assert len(READ) > 20
    assert sorted(READ) == sorted(READ & set(LISTED))


def test_a_copy_of_the_example_with_a_secret_is_a_configuration() -> None:
    done = check(**LISTED | {"SECRET_KEY": "x" * 50})
    assert done.returncode == 0, done.stderr


def test_without_a_secret_it_says_what_to_do(tmp_path: os.PathLike[str]) -> None:
    done = check(DATABASE_URL=f"sqlite:///{tmp_path}/none.sqlite3")
    assert done.returncode != 0
    assert "SECRET_KEY is not set" in done.stderr
    assert "make run" in done.stderr


@pytest.mark.parametrize("none", ["chat.example.com", "http://[::1"])
def test_an_address_that_is_none_is_named(none: str) -> None:
    done = check(SECRET_KEY="x" * 50, PUBLIC_URL=none)
    assert done.returncode != 0
    assert f"PUBLIC_URL must look like https://chat.example.com, not '{none}'" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("LOG_LEVEL", "CHATTY"), ("LOG_FORMAT", "xml")])
def test_a_log_that_can_not_be_written_is_named(name: str, value: str) -> None:
    done = check(SECRET_KEY="x" * 50, **{name: value})
    assert done.returncode != 0
    assert f"{name} must be " in done.stderr
    assert f"not '{value}'" in done.stderr


def test_the_server_refuses_to_start_without_a_secret(tmp_path: os.PathLike[str]) -> None:
    """Also where `make run` has left one: production is every start that is not `make run`."""
    env = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3"}
    done = run_python(["-m", "lexicon.serve"], env=env, timeout=30)
    assert done.returncode == 2
    assert "SECRET_KEY is not set" in done.stderr


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ],
)
def test_the_admin_has_the_security_headers(server: Server, header: str, value: str) -> None:
    assert httpx.get(server.http + "/admin/login/").headers[header] == value


def test_a_form_without_its_token_is_refused(server: Server) -> None:
    assert httpx.post(server.http + "/admin/login/", data={"username": "x", "password": "y"}).status_code == 403
