"""Which words may have been meant by one that nobody uses?"""

from __future__ import annotations

from collections.abc import Iterator

#: Shorter words have too many neighbours that mean something else.
SHORTEST = 5
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def neighbours(term: str) -> set[str]:
    """The terms that are one slip away: a letter left out, added, mistaken, or two of them exchanged.

    The first letter stands: people hardly ever mistake it (Pollock and Zamora 1984, "Automatic spelling correction in
    scientific and scholarly text"). Only of words of Latin letters; a number is never a slip.
    """
    if len(term) < SHORTEST or not (term.isascii() and term.isalpha()):
        return set()
    return set(_slips(term)) - {term}


def _slips(term: str) -> Iterator[str]:
    for at in range(1, len(term) + 1):
        head, tail = term[:at], term[at:]
        yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _LETTERS:
            yield head + letter + tail
            if tail:
                yield head + letter + tail[1:]
