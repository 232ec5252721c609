"""Each test here has a server of its own, which it kills."""

from __future__ import annotations

from tests.faults.conftest import acme, new_server, on_own_database

__all__ = ["acme", "new_server", "on_own_database"]
