"""Which words may have been meant by one that nobody uses?"""

from __future__ import annotations

from collections.abc import Iterator

#: Shorter terms have too many neighbours that mean something else.
SHORTEST = 5
#: Longer ones are names and numbers of things, copied rather than typed: each has fifty neighbours a letter.
LONGEST = 32
#: Of shorter ones a letter in place of another makes another word more often than a slip: bread, break.
SHORTEST_MISTAKEN = 7
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def neighbours(term: str) -> set[str]:
    """The terms that are one slip away: a letter left out, added, or mistaken, or two of them exchanged.

    The first letter stands: people seldom mistake it. Only of Latin letters; a number is never a slip.
    """
    if not SHORTEST <= len(term) <= LONGEST or not (term.isascii() and term.isalpha()):
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
            if tail and len(term) >= SHORTEST_MISTAKEN:
                yield head + letter + tail[1:]
