"""Which of these tests need several processes? Those have no place on SQLite, which one process serves alone."""

from __future__ import annotations

import pytest

from tests import settings as test_settings


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave those marked `several` out on SQLite, as whole files are elsewhere."""
    if not test_settings.ON_SQLITE:
        return
    several = [item for item in items if item.get_closest_marker("several")]
    config.hook.pytest_deselected(items=several)
    items[:] = [item for item in items if not item.get_closest_marker("several")]
