"""Tests of operating it have servers and databases of their own. Some are of one database only."""

from __future__ import annotations

from tests import settings as test_settings
from tests.faults.conftest import acme, closed_sockets, new_server, on_own_database

__all__ = ["acme", "closed_sockets", "new_server", "on_own_database"]

collect_ignore = ["test_moving.py"] if test_settings.ON_SQLITE else ["test_sqlite.py"]
