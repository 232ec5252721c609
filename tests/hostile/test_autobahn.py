"""`make autobahn` says what it lacks, and what failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import autobahn

#: No database decides it.
pytestmark = pytest.mark.once


def test_without_python_2_7_it_says_so_and_ends_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert autobahn.main() == 3
    assert "needs Python 2.7" in capsys.readouterr().err


def test_a_case_that_failed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    good = {"behavior": "OK", "behaviorClose": "OK"}
    assert autobahn.report({"1.1.1": good, "7.1.5": {**good, "behaviorClose": "WRONG CODE"}}) == 1
    assert "7.1.5: OK, close WRONG CODE" in capsys.readouterr().out
    assert autobahn.report({"1.1.1": good}) == 0


def test_no_case_is_no_success() -> None:
    assert autobahn.report({}) == 1
