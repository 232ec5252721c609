"""The faults, one function each, by what is hit."""

import importlib


def load() -> None:
    """Let each register itself."""
    for name in ("processes", "redis", "postgresql", "readers", "clocks", "races", "keys", "embedded", "proxy"):
        importlib.import_module(f"tests.campaign.scenarios.{name}")
