"""Which part of a text answers a question?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

from agents.terms import term_set

_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
# Between two sentences: white space after a mark, or a line's end before the next point of a list.
_BETWEEN_SENTENCES = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)*_]))\s+|\n(?=[ \t]*(?:[-*+]|\d+[.)])[ \t])")


def excerpt(text: str, wanted: Mapping[str, float], *, longest: int, language: str = "en") -> str:
    """The paragraph of `text` that holds most of the wanted terms, or as much around its best sentence as fits.

    `wanted` weighs each term; `longest` is in characters, `language` is the language
    tag of the text. Of equal parts the first is taken.
    """
    text = "\n".join(text.strip().splitlines())  # a browser's form sends CRLF
    best = max(_paragraphs(text), key=lambda part: _weight(part, wanted, language), default="")
    return best if len(best) <= longest else _around_best_sentence(best, wanted, longest, language)


def _weight(part: str, wanted: Mapping[str, float], language: str) -> float:
    return sum(wanted.get(term, 0.0) for term in term_set(part, language))


def _paragraphs(text: str) -> list[str]:
    """The paragraphs, each with the heading or the lead-in ("We accept:") it belongs to."""
    paragraphs: list[str] = []
    leading = ""
    for block in _BLANK_LINES.split(text):
        is_heading = block.startswith("#") and "\n" not in block
        part = leading + (block.lstrip("# ") if is_heading else block)
        if is_heading or block.endswith(":"):
            leading = part + "\n\n"
        else:
            leading = ""
            paragraphs.append(part)
    return paragraphs if paragraphs else [leading.rstrip()]


def _around_best_sentence(text: str, wanted: Mapping[str, float], longest: int, language: str) -> str:
    """Whole sentences that follow each other, grown from the best one, first forward, then backward."""
    breaks = [(0, 0), *(match.span() for match in _BETWEEN_SENTENCES.finditer(text)), (len(text), len(text))]
    spans = [(before[1], after[0]) for before, after in pairwise(breaks)]
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
