"""The faults, one function each, by what is hit."""

import importlib

_MODULES = (
    "processes",
    "redis",
    "postgresql",
    "readers",
    "clocks",
    "races",
    "keys",
    "embedded",
    "proxy",
    "lockout",
    "load",
)


def load() -> None:
    """Let each register itself."""
    for name in _MODULES:
        importlib.import_module(f"tests.campaign.scenarios.{name}")
