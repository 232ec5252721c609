"""Which part of a text answers a question?"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from knowledge.analyzer import term_set

_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
# Between two sentences: white space after a mark, or a line's end before the next point of a list.
_BETWEEN_SENTENCES = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)*_]))\s+|\n(?=[ \t]*(?:[-*+]|\d+[.)])[ \t])")

_POINT = re.compile(r"^[ \t]*(?:[-*+]|\d+[.)])[ \t]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of an article that may hold the answer; a higher `score` is a better match."""

    article_id: str
    title: str
    text: str
    score: float
    #: Where the original is; "" where nobody said.
    url: str = ""
    #: The language tag of the article.
    language: str = "en"


def excerpt(text: str, wanted: Mapping[str, float], *, longest: int, language: str = "en") -> str:
    """The paragraph of `text` that holds most of the wanted terms, or as much around its best sentence as fits.

    `wanted` weighs each term; `longest` is in characters, `language` is the language tag of the text. Of equal parts
    the first is taken.
    """
    best = max(_paragraphs(_lines(text)), key=lambda part: _weight(part, wanted, language), default="")
    return best if len(best) <= longest else _around_best_sentence(best, wanted, longest, language)


def answering(
    text: str,
    wanted: Mapping[str, float],
    *,
    brief: int,
    longest: int,
    leans: Callable[[str], bool],
    language: str = "en",
) -> str:
    """The fewest whole sentences of `text`, one after the other, that hold all the wanted terms it has.

    A text of at most `brief` characters stays whole, and what is trimmed grows to that; nothing is longer than
    `longest`. A list stays whole, too, where it fits: its points answer together. A sentence that `leans` on the one
    before brings it along.
    """
    text = _lines(text)
    spans = _sentences(text)
    held = [term_set(text[slice(*span)], language) & wanted.keys() for span in spans]
    if len(text) <= brief or _POINT.search(text) or not any(held):
        return text if len(text) <= longest else _around_best_sentence(text, wanted, longest, language)
    first, last = min(_windows(held), key=lambda window: spans[window[1]][1] - spans[window[0]][0])
    if spans[last][1] - spans[first][0] > longest:
        return _around_best_sentence(text, wanted, longest, language)
    while first > 0 and leans(text[slice(*spans[first])]) and spans[last][1] - spans[first - 1][0] <= longest:
        first -= 1
    while last + 1 < len(spans) and spans[last + 1][1] - spans[first][0] <= brief:
        last += 1
    return text[spans[first][0] : spans[last][1]]


def _windows(held: list[frozenset[str]]) -> Iterator[tuple[int, int]]:
    """Each shortest run of sentences, first and last, that holds all that any of them holds."""
    everything = frozenset().union(*held)
    # In which sentence each term was last, the one that is furthest behind first.
    latest: OrderedDict[str, int] = OrderedDict()
    for last, terms_held in enumerate(held):
        for term in terms_held:
            latest[term] = last
            latest.move_to_end(term)
        if len(latest) == len(everything):
            yield next(iter(latest.values())), last


def _lines(text: str) -> str:
    """The text with plain line ends: a browser's form sends CRLF."""
    return "\n".join(text.strip().splitlines())


def _weight(part: str, wanted: Mapping[str, float], language: str) -> float:
    return sum(wanted.get(term, 0.0) for term in term_set(part, language))


def _paragraphs(text: str) -> list[str]:
    """The paragraphs, each with the heading or the lead-in ("We accept:") it belongs to."""
    paragraphs: list[str] = []
    leading: list[str] = []
    for block in _BLANK_LINES.split(text):
        is_heading = block.startswith("#") and "\n" not in block
        leading.append(block.lstrip("# ") if is_heading else block)
        if not is_heading and not block.endswith(":"):
            paragraphs.append("\n\n".join(leading))
            leading = []
    return paragraphs if paragraphs else ["\n\n".join(leading).rstrip()]


def _sentences(text: str) -> list[tuple[int, int]]:
    """Where each sentence begins and ends."""
    breaks = [(0, 0), *(match.span() for match in _BETWEEN_SENTENCES.finditer(text)), (len(text), len(text))]
    return [(before[1], after[0]) for before, after in pairwise(breaks)]


def _around_best_sentence(text: str, wanted: Mapping[str, float], longest: int, language: str) -> str:
    """Whole sentences that follow each other, grown from the best one, first forward, then backward."""
    spans = _sentences(text)
    first = last = max(range(len(spans)), key=lambda index: _weight(text[slice(*spans[index])], wanted, language))
    while last + 1 < len(spans) and spans[last + 1][1] - spans[first][0] <= longest:
        last += 1
    while first > 0 and spans[last][1] - spans[first - 1][0] <= longest:
        first -= 1
    return _cut(text[spans[first][0] : spans[last][1]], longest)


def _cut(text: str, longest: int) -> str:
    """`text`, or its beginning up to a word's end and an ellipsis where it is too long."""
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    return (head.rsplit(maxsplit=1)[0] if " " in head else head) + "…"
