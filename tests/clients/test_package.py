"""The package is what it claims: it builds, installs, is typed, and its README's programs run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.actors import Actor
from tests.support.servers import ROOT

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once

PACKAGE = ROOT / "clients" / "python"
PROGRAMS = re.findall(r"^```python\n(import.*?)^```", (PACKAGE / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=110, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_builds_and_installs_in_a_clean_environment(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, PACKAGE)
    (wheel,) = tmp_path.glob("lexicon_client-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "lexicon_client/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)
    run(*pip, "install", wheel)
    told = run(
        python,
        "-c",
        "import lexicon_client, sys; print(lexicon_client.__file__, 'django' in sys.modules)",
        cwd=tmp_path,
    )
    assert str(environment) in told
    assert told.split()[-1] == "False"


def test_it_is_strictly_typed() -> None:
    run(sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--cache-dir", os.devnull, cwd=PACKAGE)


def test_no_module_is_long() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.rglob("lexicon_client/*.py")}
    assert lengths
    assert max(lengths.values()) <= 200, lengths


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_the_programs_of_its_readme_print_a_reply(acme: Actor, number: int, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[number].replace("http://127.0.0.1:8000", acme.base))
    keys = {"TENANT_KEY": acme.tenant_key, "CUSTOMER_KEY": acme.customer_key}
    told = run(sys.executable, program, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE / "src"), **keys})
    assert told.startswith("You said: ")


def test_its_readme_has_four_programs() -> None:
    assert len(PROGRAMS) == 4
