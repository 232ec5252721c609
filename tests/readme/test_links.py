"""What the README points at is there."""

from __future__ import annotations

import re

import pytest

from tests.support.servers import ROOT

#: No database decides it.
pytestmark = pytest.mark.once

LINKS = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / "README.md").read_text())


def test_the_readme_points_at_tests_and_documents() -> None:
    assert len(LINKS) > 15


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_what_the_readme_points_at_is_there(link: str) -> None:
    target = ROOT / link
    assert target.exists()
    if target.is_dir():
        assert list(target.glob("test_*.py"))
