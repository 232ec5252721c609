"""Are the question files of the knowledge evaluation whole, labelled with real articles, and split as they say?"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
QUESTIONS = ROOT / "benchmarks" / "knowledge"
ARTICLES = {"shop": ROOT / "knowledge" / "demo_articles", "hosting": QUESTIONS / "articles"}
HALVES = ("tune", "held_back")
FILES = [(company, half) for company in ARTICLES for half in HALVES]
SHARES = {"paraphrase": 0.5, "direct": 0.3, "none": 0.2}

Row = dict[str, str]


def rows_of(company: str, half: str) -> list[Row]:
    with (QUESTIONS / f"{company}.{half}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def answers(row: Row) -> list[str]:
    return [] if row["article"] == "none" else row["article"].split("|")


def titles(company: str) -> list[str]:
    lines = [path.read_text(encoding="utf-8").splitlines()[1] for path in sorted(ARTICLES[company].glob("*.md"))]
    return [line.removeprefix("title: ") for line in lines]


@pytest.mark.parametrize(("company", "half"), FILES)
def test_every_row_has_the_three_columns_and_nothing_else(company: str, half: str) -> None:
    for row in rows_of(company, half):
        assert list(row) == ["question", "article", "kind"]
        assert all(value and value == value.strip() for value in row.values()), row


@pytest.mark.parametrize(("company", "half"), FILES)
def test_every_article_named_is_in_the_folder(company: str, half: str) -> None:
    named = {title for row in rows_of(company, half) for title in answers(row)}
    assert named <= set(titles(company))


@pytest.mark.parametrize(("company", "half"), FILES)
def test_a_question_is_out_of_scope_exactly_when_no_article_answers_it(company: str, half: str) -> None:
    for row in rows_of(company, half):
        assert (row["kind"] == "none") == (answers(row) == []), row


@pytest.mark.parametrize(("company", "half"), FILES)
def test_the_kinds_have_their_shares_in_every_file(company: str, half: str) -> None:
    kinds = Counter(row["kind"] for row in rows_of(company, half))
    assert {kind: count / kinds.total() for kind, count in kinds.items()} == pytest.approx(SHARES, abs=0.02)


def test_no_question_is_asked_twice() -> None:
    asked = Counter(row["question"].casefold().rstrip(" ?") for file in FILES for row in rows_of(*file))
    assert [question for question, count in asked.items() if count > 1] == []


def test_there_are_at_least_150_questions() -> None:
    assert sum(len(rows_of(*file)) for file in FILES) >= 150


@pytest.mark.parametrize("company", ARTICLES)
def test_about_half_of_the_questions_are_held_back(company: str) -> None:
    tune, held_back = (len(rows_of(company, half)) for half in HALVES)
    assert held_back / (tune + held_back) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("company", ARTICLES)
def test_every_article_is_asked_about_at_least_twice(company: str) -> None:
    asked = Counter(title for half in HALVES for row in rows_of(company, half) for title in answers(row))
    assert [title for title in titles(company) if asked[title] < 2] == []


@pytest.mark.parametrize("company", ARTICLES)
def test_no_two_articles_of_a_company_have_the_same_title(company: str) -> None:
    assert [title for title, count in Counter(titles(company)).items() if count > 1] == []
