"""lexicon-client.js under node: client.test.mjs holds the tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.page.tools import need

#: No database decides it (tests/__main__.py).
pytestmark = pytest.mark.once


def test_the_browser_client_keeps_its_promises() -> None:
    node = need("node", shutil.which("node"))
    tests = Path(__file__).with_name("client.test.mjs")
    run = subprocess.run([node, "--test", "--test-reporter=tap", tests], capture_output=True, text=True, timeout=100)
    passed = re.search(r"^# pass (\d+)$", run.stdout, re.MULTILINE)
    if run.returncode or passed is None or int(passed[1]) < 30:
        pytest.fail(run.stdout + run.stderr, pytrace=False)
