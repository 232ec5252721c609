"""The attacks, by what they attack with."""

from __future__ import annotations

import importlib

MODULES = ("texts", "replies", "imports", "frames", "connections", "strangers", "staff", "bodies", "oddities")


def load() -> None:
    """Have all of them registered."""
    for name in MODULES:
        importlib.import_module(f"tests.hostile.attacks.{name}")
