"""Modules of the page under node: client.test.mjs and markdown.test.mjs hold the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.web.tools import need

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once


@pytest.mark.parametrize(("name", "least"), [("client.test.mjs", 30), ("markdown.test.mjs", 16)])
def test_the_module_keeps_its_promises(name: str, least: int) -> None:
    node = need("node", shutil.which("node"))
    tests = Path(__file__).with_name(name)
    run = subprocess.run([node, "--test", "--test-reporter=tap", tests], capture_output=True, text=True, timeout=100)
    passed = re.search(r"^# pass (\d+)$", run.stdout, re.MULTILINE)
    if run.returncode or passed is None or int(passed[1]) < least:
        pytest.fail(run.stdout + run.stderr, pytrace=False)
