"""docs/deployment.md: what it names is there, and its commands are commands."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.readme.test_environment import LISTED
from tests.shipping.nginx import FILES
from tests.shipping.test_compose import REPLICAS, SERVICES, VARIABLES
from tests.support.servers import ROOT

#: No database decides it.
pytestmark = pytest.mark.once

GUIDE = (ROOT / "docs" / "deployment.md").read_text()
UNIT = (ROOT / "deploy" / "systemd" / "lexicon@.service").read_text()
SHELL = "\n".join(re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL))
LINKS = sorted({link for link in re.findall(r"\]\(([^)#]+)", GUIDE) if "://" not in link})
ANCHORS = re.findall(r"\]\(#([^)]+)\)", GUIDE)
#: Variables of others: of certbot, of a shell that tries something out.
FOREIGN = {"RENEWED_LINEAGE", "TENANT_KEY"}


@pytest.mark.parametrize("link", LINKS)
def test_what_it_points_at_is_there(link: str) -> None:
    assert (ROOT / "docs" / link).exists()


def test_its_own_sections_are_there() -> None:
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)}
    assert set(ANCHORS) <= headings
    assert ANCHORS


def test_the_files_its_commands_name_are_there() -> None:
    named = set(re.findall(r"(?<![\w/.])(?:deploy/(?:nginx|systemd)/[\w@.]+|requirements\.txt|\.env\.example)", SHELL))
    assert len(named) >= 6
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_its_variables_are_listed() -> None:
    named = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", GUIDE)) - FOREIGN
    assert len(named) > 12
    assert named - set(LISTED) == set()


def test_its_management_commands_are_there() -> None:
    called = re.findall(r"^manage (\w+)", SHELL, re.MULTILINE) + re.findall(r"manage\.py (\w+)", GUIDE)
    assert set(called) >= {"migrate", "createsuperuser", "create_tenant", "check", "collectstatic"}
    assert set(called) - set(get_commands()) == set()


def test_its_services_are_those_of_compose() -> None:
    called = re.findall(r"docker compose(?: [\w-]+ [/\w]+)? (?:exec|run)(?: -\S+)* (\w+)", SHELL)
    called += re.findall(r"docker compose up .*--wait (\w+)", SHELL)
    assert {"app1", "migrate", "nginx", *REPLICAS} == set(called)
    assert set(called) <= set(SERVICES)


def test_its_secrets_are_those_without_which_compose_does_not_start() -> None:
    made = set(re.findall(r'^sed -i "s[/|]\^(\w+)=', SHELL, re.MULTILINE))
    assert made == {name for name, rest in VARIABLES if rest.startswith(":?")}


def test_its_secrets_are_put_into_a_copy_of_the_example(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    [block] = [block for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) if "POSTGRES_PASSWORD" in block]
    _, commands = block.split("\n", 1)
    subprocess.run(["sh", "-euc", commands], cwd=tmp_path, check=True)
    made = dict(re.findall(r"^([A-Z_]+)=(.*)$", (tmp_path / ".env").read_text(), re.MULTILINE))
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert made["PUBLIC_URL"] == "https://chat.example.com"
    assert re.fullmatch("[0-9a-f]{64}", made["SECRET_KEY"])
    assert re.fullmatch("[0-9a-f]{48}", made["POSTGRES_PASSWORD"])
    assert set(made) == set(LISTED)


def test_its_nginx_stands_before_the_ports_of_its_units() -> None:
    [command] = re.findall(r"^(sed -e .*) > /etc/nginx/lexicon/lexicon\.conf$", SHELL, re.MULTILINE)
    text = subprocess.run(["sh", "-euc", command], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    ports = re.findall(r"^\s*server 127\.0\.0\.1:(\d+) ", text, re.MULTILINE)
    [units] = re.findall(r"^systemctl enable --now (.*)$", SHELL, re.MULTILINE)
    assert units.split() == [f"lexicon@{port}" for port in ports]
    assert "app1" not in text


def test_its_nginx_has_every_file_that_is_included() -> None:
    included = set(
        re.findall(r"include /etc/nginx/lexicon/(\w+\.conf)", "".join(f.read_text() for f in FILES.iterdir()))
    )
    put = set(re.findall(r"/etc/nginx/lexicon/(\w+\.conf)$", SHELL, re.MULTILINE))
    put |= set(re.findall(r"^cp deploy/nginx/(\w+\.conf) /etc/nginx/lexicon/$", SHELL, re.MULTILINE))
    assert put == included


def test_its_shell_function_reads_the_environment_and_keeps_arguments_whole(tmp_path: Path) -> None:
    [function] = re.findall(r"^manage\(\) .*$", SHELL, re.MULTILINE)
    (tmp_path / "env").write_text("PUBLIC_URL=https://chat.example.com\n")
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$PUBLIC_URL" "$@"\n')
    (tmp_path / "sudo").write_text('#!/bin/sh\nshift 2; exec "$@"\n')
    for name in ("python", "sudo"):
        (tmp_path / name).chmod(0o755)
    moved = function.replace("/etc/lexicon/env", f"{tmp_path}/env").replace(".venv/bin/python", f"{tmp_path}/python")
    done = subprocess.run(
        ["sh", "-euc", f'{moved}\nmanage create_tenant "My company"'],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["https://chat.example.com", "manage.py", "create_tenant", "My company"]


def test_its_unit_gives_replies_the_time_to_end() -> None:
    [stop] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(stop) >= int(LISTED["DRAIN_SECONDS"]) + 10
    assert "ExecStart=/opt/lexicon/.venv/bin/python -m lexicon.serve\n" in UNIT
