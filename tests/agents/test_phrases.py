"""The phrases of a language are data, and whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.builtin import phrases
from agents.builtin.phrases import ENGLISH, SAY, read

#: No database decides it.
pytestmark = pytest.mark.once

#: What may be filled in where the agent says this.
FIELDS = {"source": {"title"}, "which": {"first", "second"}}


def every_phrase() -> list[str]:
    groups = [*ENGLISH.lists.values(), *ENGLISH.known.values()]
    return [phrase for group in groups for phrase in group]


@pytest.mark.parametrize("phrase", every_phrase())
def test_a_phrase_is_written_in_the_notation(phrase: str) -> None:
    assert phrase == phrase.strip().casefold()
    assert phrase.count("(") == phrase.count(")")
    assert phrase.count("[") == phrase.count("]")
    assert set(re.findall(r"\{(\w+)\}", phrase)) <= set(ENGLISH.lists)
    # Nothing is always there: it would fit everything.
    assert re.sub(r"\[[^\[\]]*\]|[()|\s]", "", phrase)


@pytest.mark.parametrize("name", list(SAY))
def test_what_is_said_is_one_line_with_nothing_unknown_to_fill_in(name: str) -> None:
    assert SAY[name] == SAY[name].strip()
    assert "\n" not in SAY[name]
    assert set(re.findall(r"\{(\w+)\}", SAY[name])) == FIELDS.get(name, set())


def test_no_two_things_that_are_looked_for_in_the_history_are_alike() -> None:
    marks = [SAY[name] for name in ("offer", "hand_over", "which", "source")]
    assert not any(one in other for one in marks for other in marks if one != other)


def test_a_language_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(FileNotFoundError):
        read("klingon")


def test_a_part_that_is_missing_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words" / "de").mkdir(parents=True)
    (tmp_path / "words" / "de" / "phrases.toml").write_text("[lists]\n[known]\n")
    monkeypatch.setattr(phrases, "__file__", str(tmp_path / "phrases.py"))
    with pytest.raises(TypeError, match="say"):
        read("de")
