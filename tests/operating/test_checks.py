"""Every bad configuration is named before anything is served, by an id, with what to do about it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.core import checks

from lexicon import checks as ours
from lexicon import data_checks
from tests.support.forkserver import run_python
from tests.support.servers import free_port

#: No database decides it.
pytestmark = pytest.mark.once

Found = Callable[..., list[checks.CheckMessage]]

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/var/lib/lexicon/db.sqlite3"}
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": "lexicon"}
MYSQL = {"ENGINE": "django.db.backends.mysql", "NAME": "lexicon"}
#: A configuration that nobody has anything against.
GOOD = {
    "SECRET_KEY": "0lJ8pZc3nYt5Vg7Qe1Xw9Rb2Km4Hs6Fd",
    "DEBUG": False,
    "ALLOWED_HOSTS": ["chat.example.com"],
    "PUBLIC_URL": "https://chat.example.com",
    "TRUSTED_PROXIES": ["10.0.0.0/24", "::1"],
    "DATABASES": {"default": POSTGRESQL},
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "WEB_CONCURRENCY": 4,
    "LEASE_SECONDS": 6.0,
    "AGENT_MODEL": "builtin",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_API_KEY": "",
}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """What is said of the good configuration with these changes, asking no database."""

    def run(**changes: object) -> list[checks.CheckMessage]:
        for name, value in (GOOD | changes).items():
            monkeypatch.setattr(settings, name, value)
        return checks.run_checks(tags=[ours.TAG], include_deployment_checks=True)

    return run


def test_a_good_configuration_passes(found: Found) -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("expected", "named", "changes"),
    [
        ("lexicon.E001", "SECRET_KEY", {"SECRET_KEY": "short"}),
        ("lexicon.E001", "SECRET_KEY", {"SECRET_KEY": "x" * 60}),
        ("lexicon.E001", "SECRET_KEY", {"SECRET_KEY": "change-me-to-a-long-random-value-0123456789"}),
        ("lexicon.E002", "ALLOWED_HOSTS", {"ALLOWED_HOSTS": ["*"]}),
        ("lexicon.E003", "DEBUG", {"DEBUG": True}),
        ("lexicon.E004", "REDIS_URL", {"REDIS_URL": ""}),
        ("lexicon.E005", "SQLite", {"DATABASES": {"default": SQLITE}}),
        ("lexicon.W006", "REDIS_URL", {"DATABASES": {"default": SQLITE}, "WEB_CONCURRENCY": 1}),
        ("lexicon.W008", "PUBLIC_URL", {"PUBLIC_URL": "http://chat.example.com"}),
        ("lexicon.W009", "TRUSTED_PROXIES", {"TRUSTED_PROXIES": []}),
        ("lexicon.E010", "LEASE_SECONDS", {"LEASE_SECONDS": 0.1}),
        ("lexicon.E010", "LEASE_SECONDS", {"LEASE_SECONDS": 3600.0}),
        ("lexicon.E010", "LEASE_SECONDS", {"LEASE_SECONDS": float("nan")}),
        ("lexicon.E011", "AGENT_MODEL", {"AGENT_MODEL": "llama"}),
        ("lexicon.E011", "AGENT_FALLBACK_MODEL", {"AGENT_FALLBACK_MODEL": "llama"}),
        ("lexicon.E012", "OPENAI_API_KEY", {"AGENT_MODEL": "openai:gpt-5"}),
        ("lexicon.E012", "ANTHROPIC_API_KEY", {"AGENT_MODEL": "anthropic:claude-x"}),
        ("lexicon.E012", "AGENT_FALLBACK_MODEL", {"AGENT_FALLBACK_MODEL": "anthropic:claude-x"}),
        ("lexicon.E013", "10.0.0.300", {"TRUSTED_PROXIES": ["10.0.0.300"]}),
        ("lexicon.E013", "10.0.0.5/24", {"TRUSTED_PROXIES": ["10.0.0.5/24"]}),
        ("lexicon.W014", "TRUSTED_PROXIES", {"TRUSTED_PROXIES": ["*"]}),
        ("lexicon.E015", "DATABASE_URL", {"DATABASES": {"default": MYSQL}}),
        ("lexicon.E017", "OPENAI_BASE_URL", {"OPENAI_BASE_URL": "localhost:11434"}),
        ("lexicon.E017", "OPENAI_BASE_URL", {"OPENAI_BASE_URL": "http://[::1"}),
        ("lexicon.E017", "OPENAI_BASE_URL", {"OPENAI_BASE_URL": "http://localhost:99999/v1"}),
        ("lexicon.E017", "ANTHROPIC_BASE_URL", {"ANTHROPIC_BASE_URL": "anthropic"}),
        ("lexicon.E017", "ANTHROPIC_BASE_URL", {"ANTHROPIC_BASE_URL": "http://[::1"}),
        ("lexicon.E017", "EMBEDDING_BASE_URL", {"EMBEDDING_BASE_URL": "localhost"}),
        ("lexicon.E018", "MODEL_GAP_SECONDS", {"MODEL_GAP_SECONDS": 0.0}),
        ("lexicon.E019", "OPENAI_API_KEY", {"OPENAI_API_KEY": "two words"}),
        ("lexicon.E019", "EMBEDDING_API_KEY", {"EMBEDDING_API_KEY": "two words"}),
        ("lexicon.E020", "MODEL_RETRIES", {"MODEL_RETRIES": -1}),
        ("lexicon.E018", "STATEMENT_SECONDS", {"STATEMENT_SECONDS": 0.0}),
        ("lexicon.E018", "SLOW_READER_SECONDS", {"SLOW_READER_SECONDS": -1.0}),
        ("lexicon.E018", "DRAIN_SECONDS", {"DRAIN_SECONDS": -1.0}),
        ("lexicon.E021", "REDIS_URL", {"REDIS_URL": "localhost:6379"}),
        ("lexicon.E021", "SENTRY_DSN", {"SENTRY_DSN": "sentry.example.com/1"}),
        ("lexicon.E021", "OTEL_EXPORTER_OTLP_ENDPOINT", {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}),
        ("lexicon.E022", "PORT", {"PORT": 99_999}),
    ],
)
def test_a_bad_configuration_is_named_with_what_to_do(
    found: Found, expected: str, named: str, changes: dict[str, object]
) -> None:
    messages = {message.id: message for message in found(**changes)}
    assert expected in messages
    assert named in messages[expected].msg
    assert messages[expected].hint
    assert messages[expected].is_serious() == (expected[-4] == "E")


@pytest.mark.parametrize(
    "changes",
    [
        {
            "ALLOWED_HOSTS": ["*"],
            "DEBUG": True,
            "DATABASES": {"default": SQLITE},
            "WEB_CONCURRENCY": 1,
            "REDIS_URL": "",
        },
        {"PUBLIC_URL": "http://127.0.0.1:8000", "TRUSTED_PROXIES": []},
        {"PUBLIC_URL": "http://localhost:8000", "TRUSTED_PROXIES": []},
        {"REDIS_URL": "", "WEB_CONCURRENCY": 1},
        {"AGENT_MODEL": "openai:llama3", "OPENAI_BASE_URL": "http://localhost:11434/v1"},
        {"AGENT_MODEL": "openai:gpt-5", "OPENAI_API_KEY": "a-key"},
        {"AGENT_MODEL": "anthropic:claude-x", "ANTHROPIC_API_KEY": "a-key", "AGENT_FALLBACK_MODEL": "builtin"},
        {"REDIS_URL": "unix:///run/redis.sock", "SENTRY_DSN": "https://key@sentry.example.com/1", "DRAIN_SECONDS": 0.0},
    ],
)
def test_a_configuration_that_works_passes(found: Found, changes: dict[str, object]) -> None:
    assert found(**changes) == []


def test_an_address_that_is_none_is_not_quoted(found: Found) -> None:
    """There may be a password in it."""
    [message] = found(REDIS_URL="a-password@redis:6379")
    assert "a-password" not in f"{message.msg} {message.hint}"


@pytest.mark.parametrize("kind", ["nfs4", "nfs", "cifs", "9p"])
def test_sqlite_on_a_network_file_system_is_refused(found: Found, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(data_checks, "file_system", lambda path: kind)
    [message] = found(DATABASES={"default": SQLITE}, WEB_CONCURRENCY=1, REDIS_URL="")
    assert message.id == "lexicon.E007"
    assert kind in message.msg
    assert "move_to_postgres" in (message.hint or "")


def test_the_file_system_is_that_of_the_innermost_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = "a / ext4 rw 0 0\nb /srv/my\\040data nfs4 rw 0 0\nc /srv xfs rw 0 0\nd /srv ext4 rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda self: mounts)
    assert data_checks.file_system(Path("/srv/my data/db.sqlite3")) == "nfs4"
    assert data_checks.file_system(Path("/srv/other/db.sqlite3")) == "ext4"
    assert data_checks.file_system(Path("/home/db.sqlite3")) == "ext4"


def serve(**env: str) -> subprocess.CompletedProcess[str]:
    """A server that is told to listen on a port of its own, with little else in its environment."""
    given = {"PATH": os.environ["PATH"], "PORT": str(free_port()), "SECRET_KEY": settings.SECRET_KEY, **env}
    return run_python(["-m", "lexicon.serve"], env=given, timeout=60)


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"SECRET_KEY": "changeme"}, "lexicon.E001: SECRET_KEY"),
        ({"ALLOWED_HOSTS": "*"}, "lexicon.E002: ALLOWED_HOSTS"),
        ({"WEB_CONCURRENCY": "2"}, "lexicon.E004: WEB_CONCURRENCY"),
        ({"DATABASE_URL": "gopher://x"}, "DATABASE_URL must look like"),
        ({"LEASE_SECONDS": "six"}, "LEASE_SECONDS"),
        ({"AGENT_MODEL": "openai:x", "OPENAI_BASE_URL": "http://[::1"}, "lexicon.E017: OPENAI_BASE_URL"),
    ],
)
def test_a_server_does_not_start_with_it(tmp_path: Path, env: dict[str, str], named: str) -> None:
    done = serve(**{"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3", **env})
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
