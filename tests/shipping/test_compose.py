"""compose.yaml: who waits for whom, who can be reached, and what happens without a secret.

That it is a compose file at all is `make check`'s to tell, which holds it against the schema.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from django.conf import settings

from tests.readme.test_environment import LISTED
from tests.support.servers import ROOT

#: No database decides it.
pytestmark = pytest.mark.once

TEXT = (ROOT / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
REPLICAS = [name for name in SERVICES if name.startswith("app")]
#: `${NAME}`, `${NAME:-default}`, `${NAME:?what to do}`, as (name, what follows it).
VARIABLES = re.findall(r"\$\{(\w+)([^}]*)\}", TEXT)
UPSTREAMS = re.findall(r"^\s*server (\w+):8000", (ROOT / "deploy/nginx/lexicon.conf").read_text(), re.MULTILINE)


def address(service: str) -> str:
    return SERVICES[service]["networks"]["default"]["ipv4_address"]


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def test_nginx_passes_requests_on_to_every_replica() -> None:
    assert len(REPLICAS) == 2
    assert sorted(UPSTREAMS) == sorted(REPLICAS)


def test_nginx_knows_the_replicas_by_addresses_that_stay() -> None:
    assert SERVICES["nginx"]["extra_hosts"] == [f"{name}:{address(name)}" for name in REPLICAS]


@pytest.mark.parametrize("name", REPLICAS)
def test_a_replica_believes_nginx_and_nobody_else(name: str) -> None:
    assert SERVICES[name]["environment"]["TRUSTED_PROXIES"] == address("nginx")


def test_only_nginx_can_be_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]


def test_migrations_are_a_step_of_their_own_before_the_replicas() -> None:
    assert SERVICES["migrate"]["command"] == ["python", "manage.py", "migrate", "--noinput"]
    assert SERVICES["migrate"]["restart"] == "no"
    for name in REPLICAS:
        assert "command" not in SERVICES[name]
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_whoever_is_waited_for_says_when_it_is_healthy() -> None:
    waited_for = {
        other
        for service in SERVICES.values()
        for other, how in service.get("depends_on", {}).items()
        if how == {"condition": "service_healthy"}
    }
    assert waited_for == {"postgres", "redis", *REPLICAS}
    assert [name for name in waited_for if not SERVICES[name]["healthcheck"]["test"]] == []


@pytest.mark.parametrize("name", REPLICAS)
def test_a_replica_is_healthy_when_it_is_ready(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]
    assert test[:3] == ["CMD", "python", "-c"]
    compile(test[3], "healthcheck", "exec")
    assert "http://127.0.0.1:8000/readyz" in test[3]


@pytest.mark.parametrize("name", REPLICAS)
def test_a_replica_has_the_time_that_its_replies_get_to_end(name: str) -> None:
    assert seconds(SERVICES[name]["stop_grace_period"]) >= settings.DRAIN_SECONDS + 10


def test_everything_but_the_migrations_comes_back_by_itself() -> None:
    assert {name for name, service in SERVICES.items() if service["restart"] != "unless-stopped"} == {"migrate"}


def test_every_image_has_a_version() -> None:
    images = [service["image"] for service in SERVICES.values()]
    assert [image for image in images if not re.search(r":[^:/]+$", image) or image.endswith(":latest")] == []


def test_without_a_secret_nothing_starts() -> None:
    required = {name for name, rest in VARIABLES if rest.startswith(":?")}
    assert required == {"SECRET_KEY", "POSTGRES_PASSWORD", "PUBLIC_URL"}
    assert LISTED["SECRET_KEY"] == LISTED["POSTGRES_PASSWORD"] == ""


def test_every_variable_has_a_default_or_is_required_and_is_listed() -> None:
    assert [name for name, rest in VARIABLES if not rest.startswith((":?", ":-"))] == []
    assert {name for name, _ in VARIABLES} - set(LISTED) == set()


def test_redis_keeps_nothing_and_forgets_nothing() -> None:
    command = shlex.join(SERVICES["redis"]["command"])
    assert command.startswith("redis-server --save '' --appendonly no --maxmemory ")
    assert command.endswith(" --maxmemory-policy noeviction")


@pytest.mark.parametrize("site", ["http", "https"])
def test_what_is_mounted_is_there(site: str) -> None:
    sources = [re.sub(r"\$\{\w+:-(\w+)\}", site, volume).split(":")[0] for volume in SERVICES["nginx"]["volumes"][:3]]
    assert sources == ["./deploy/nginx", f"./deploy/nginx/{site}.conf", "./deploy/nginx/nginx.conf"]
    assert [source for source in sources if not (ROOT / source).exists()] == []
