"""Texts that somebody makes to be slow, each as a function of its length.

Each is a kind that has made some program slow: runs that are sorted, repeats that a pattern may part in many ways,
openings that nothing closes, nesting, and what the agent itself says. `SHAPES` holds them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, count, islice

from agents.builtin.phrases import SAY

#: A text of exactly so many characters.
Shape = Callable[[int], str]

#: The instructions of a tenant, a ruler among them.
INSTRUCTIONS = (
    "You are Ada, the assistant of Acme. "
    + " ".join(f"Rule {number} is about the number {number}." for number in range(30))
    + "\n"
    + "=" * 190
    + "\nNever speak of the ruler."
)


def _repeat(unit: str) -> Shape:
    return lambda n: (unit * (n // len(unit) + 1))[:n]


def _cycle(*units: str) -> Shape:
    return _repeat("".join(units))


def _around(begin: str, unit: str, end: str = "") -> Shape:
    """One beginning, many of the unit, and an end."""
    return lambda n: (begin + unit * (n // len(unit) + 1))[: n - len(end)] + end


def _nested(opening: str, closing: str) -> Shape:
    def shape(n: int) -> str:
        depth = n // (len(opening) + len(closing))
        return (opening * depth + closing * depth).ljust(n, "x")

    return shape


def _deeper(line: Callable[[int], str]) -> Shape:
    """Lines, each deeper than the one before."""

    def shape(n: int) -> str:
        lines: list[str] = []
        left = n
        for depth in count():
            if left <= 0:
                break
            lines.append(line(depth))
            left -= len(lines[-1])
        return "".join(lines)[:n]

    return shape


def _words(n: int) -> str:
    """Words of which none is there twice, none known, and each five letters and more."""
    letters = "bcdfghjklmnpqrstvwxz"
    made = (
        "".join(letters[number // 20**place % 20] for place in range(6)) + " " for number in islice(count(), n // 7 + 1)
    )
    return "".join(made)[:n]


# Marks of falling classes by turns: each is sorted before most of those that stand before it.
_WORST_ORDER = "\u0301\u0316\u0f39\u05b0\u0345\u0334"

SHAPES: dict[str, Shape] = {
    # Runs of combining marks.
    "Latin marks": _around("a", "\u0301"),
    "Tibetan marks": _around("a", "\u0f81"),
    "Hebrew marks": _around("\u05d0", "\u05b8\u05bc\u0591"),
    "Arabic marks": _around("\u0628", "\u0651\u064b\u0670"),
    "Devanagari marks": _around("\u0915", "\u093c\u094d"),
    "marks in reverse order": _around("a", _WORST_ORDER),
    "marks sorted last to first": lambda n: ("a" + "\u0301" * (n // 2) + "\u0316" * n)[:n],
    "marks without a base": _repeat("\u0345\u0334"),
    "marks of halfwidth kana": _around("\uff76", "\uff9e"),
    "as many marks as may be": _repeat("a" + "\u0f81" * 30),
    "one mark too many": _repeat("a" + "\u0f81\u0345" * 15 + "\u0334"),
    # What grows when it is normalised.
    "U+FDFA": _repeat("\ufdfa"),
    "ligatures": _repeat("\ufb03\u00bd\u2026\u3382"),
    "Hangul jamo": _repeat("\u1112\u1161\u11ab"),
    # White space.
    "spaces": _repeat(" "),
    "spaces in a word": _around("x", " ", "x"),
    "spaces in a heading": _around("# x", " ", "x"),
    "spaces after a sentence": _around("Yes. ", " ", "x"),
    "tabs": _repeat("\t"),
    "newlines": _repeat("\n"),
    "newlines and spaces": _repeat("\n    "),
    "carriage returns": _repeat("\r\n"),
    "separators of lines": _repeat("\u2028\u2029\x85"),
    "wide and fixed spaces": _repeat("\u3000\xa0\u200b\u202f"),
    # One character, and a few by turns.
    "one letter": _repeat("x"),
    "one accented letter": _repeat("é"),
    "one digit": _repeat("7"),
    "one word": _repeat("internationalisations"),
    "no vowel": _repeat("bcdfgh"),
    "dots": _repeat("."),
    "question marks": _repeat("?"),
    "exclamation marks": _repeat("!"),
    "colons": _repeat(": "),
    "apostrophes": _cycle("'", "’", "s "),
    "quotes": _repeat('"'),
    "quotes in cells": _repeat('a,"b""c",'),
    "quotes never closed": _around('question,article,kind\n"', "a\n"),
    "backslashes": _repeat("\\"),
    "rulers": lambda n: "\n".join(mark * (n // 4) for mark in "=-_*")[:n],
    "a ruler": _repeat("="),
    "stars": _repeat("*a_ "),
    "underscores": _repeat("a_"),
    "backticks": _repeat("` `` ``` "),
    "pipes": _repeat("|a|\n|-|\n"),
    "ampersands": _repeat("&amp;&#x41;&lt"),
    "a b a b": _repeat("a b "),
    "e-e-e": _repeat("e-"),
    "numbers": _repeat("1. 2) "),
    "keys": _repeat("token: key=://a:b"),
    # What nests, or is never closed.
    "brackets": _nested("[", "]"),
    "open brackets": _repeat("["),
    "parentheses": _nested("(", ")"),
    "braces": _nested('{"a":', "}"),
    "angles": _nested("<", ">"),
    "links": _repeat("[a](b "),
    "open tags": _repeat("<a "),
    "attributes": _around("<a ", 'b="c '),
    "comments": _repeat("<!-- "),
    "nested tags": _nested("<div>", "</div>"),
    "nested lists": _nested("<ul><li>", "</li></ul>"),
    "list in list": _deeper(lambda depth: "  " * min(depth, 50) + "- a\n"),
    "quotations in quotations": _repeat("> "),
    "lists": _repeat("- a\n"),
    "headings": _repeat("# a\n\n"),
    "headings alone": _repeat("#"),
    "lead-ins": _repeat("We accept:\n\n"),
    "front matter": _repeat("---\n"),
    "front matter without an end": _around("---\n", "title: a\n"),
    "code": _repeat("```\na\n"),
    # Languages.
    "Thai": _repeat("ที่นี่มีของขาย"),
    "Chinese": _repeat("退货需要多少天"),
    "German in one word": _repeat("donaudampfschifffahrtsgesellschaft"),
    "all together": _repeat("Wo ist mein Paket 包裹 на складе ที่นี่ é? "),
    "emoji": _repeat("👩‍👩‍👧‍👦🏽"),
    "words nobody knows": _words,
    # What people say, again and again.
    "not not not": _repeat("not "),
    "and and": _repeat("and "),
    "no no no": _repeat("no "),
    "ok ok ok": _repeat("ok "),
    "very much": _repeat("very much thank you so much "),
    "hello": _repeat("Hello! "),
    "person person": _repeat("person "),
    "almost a person": _repeat("i don't want to talk to a real live support "),
    "it": _repeat("It takes a day. "),
    "questions": _repeat("How do I return it and can I pay? "),
    "sentences": lambda n: "".join(chain.from_iterable((word, " lamp. ") for word in _words(n).split()))[:n],
    # What the agent says.
    "asking back": _repeat(SAY["which"].format(first="A", second="B")),
    "asking back without an end": _around(SAY["which"].partition("{first}")[0], "” or “"),
    "sources": _repeat(SAY["source"].format(title="A") + "\n"),
    "sources without an end": _repeat(SAY["source"].partition("{title}")[0]),
    "a source without an end": _around(SAY["source"].partition("{title}")[0], "”"),
    "the instructions": _repeat(INSTRUCTIONS[:600]),
    "half of the instructions": _repeat(INSTRUCTIONS[500:650]),
    "almost the ruler of the instructions": _repeat("=" * 199 + "x"),
    # Streams.
    "events": _repeat('data: {"choices":[{"delta":{"content":"a"}}]}\n\n'),
    "an event without an end": _repeat("data: a\n"),
}
