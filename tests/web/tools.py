"""What these tests need that pip does not bring."""

from __future__ import annotations

import os

import pytest


def need(name: str, path: str | None) -> str:
    """Where the program is; without it the test is skipped, or fails under REQUIRE_ALL."""
    if path is None and os.environ.get("REQUIRE_ALL"):
        pytest.fail(f"{name} is not installed, and REQUIRE_ALL is set")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path
