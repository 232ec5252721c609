"""The printed clients run on uvicorn, and those of the modules that are marked so on daphne, too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.seeds.programs import HERE, Programs
from tests.support.servers import Server


@pytest.fixture(params=["uvicorn", pytest.param("daphne", marks=pytest.mark.once)])
def server(request: pytest.FixtureRequest) -> Server:
    """The process that the tenants of this test talk to."""
    return request.getfixturevalue(f"live_server_{request.param}")


def leave_out(why: str) -> NoReturn:
    """This machine can not run the test: it is skipped with the reason or, where all is required, fails."""
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session")
def node_modules(pytestconfig: pytest.Config) -> list[Path]:
    """What node programs may import: what stands in for a browser's page and, where node lacks it, a WebSocket."""
    if shutil.which("node") is None:
        leave_out("the seeds' JavaScript clients need node, which is not installed")
    modules = [path for path in (HERE / "modules").iterdir() if path.is_dir()]
    has_websocket = subprocess.run(["node", "-p", "typeof WebSocket"], capture_output=True, text=True, check=True)
    if has_websocket.stdout.strip() == "undefined":
        modules.append(_install_ws(pytestconfig))
    return modules


def _install_ws(config: pytest.Config) -> Path:
    """The npm package `ws`, as package-lock.json pins it: fetched once, kept in pytest's cache."""
    version = json.loads((HERE / "package.json").read_text())["dependencies"]["ws"]
    # Without pytest's cache (-p no:cacheprovider) it is fetched for each run.
    cache = config.cache.mkdir("seeds") if hasattr(config, "cache") else Path(tempfile.mkdtemp())
    kept = cache / f"ws-{version}"
    if not kept.exists():
        if shutil.which("npm") is None:
            leave_out("the seeds' JavaScript clients need node 22 or, to fetch a WebSocket for an older one, npm")
        fresh = Path(tempfile.mkdtemp(dir=cache))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, fresh)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        installed = subprocess.run(command, cwd=fresh, capture_output=True, text=True)
        if installed.returncode != 0:
            shutil.rmtree(fresh)
            leave_out(f"npm could not fetch ws {version}, which node lacks: {installed.stderr.strip()[-500:]}")
        try:
            fresh.rename(kept)
        except OSError:
            # Another run was faster.
            shutil.rmtree(fresh)
    return kept / "node_modules" / "ws"


@pytest.fixture
def node(node_modules: list[Path], tmp_path: Path) -> Callable[..., Any]:
    """Runs a JavaScript program: `node(program, key=…)` is what it reports."""
    for module in node_modules:
        shutil.copytree(module, tmp_path / "node_modules" / module.name)
    return Programs(tmp_path).node


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., Any]:
    """Runs the driver of a printed Python module: `python(module, code, key=…)` is what it reports."""
    return Programs(tmp_path).python


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., str]:
    """Runs a shell command: `shell(command, LEXEY_CUSTOMER_KEY=…)` is what it prints."""
    if shutil.which("curl") is None:
        leave_out("the seeds' curl commands need curl, which is not installed")
    return Programs(tmp_path).shell
