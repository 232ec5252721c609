"""Did a model give its instructions away?

Looked at once, at the end of a reply. It is a tripwire, not a wall: who wants the instructions will get them in
other words. So nothing secret belongs into them, and nobody else's data is ever beside them.
"""

from __future__ import annotations

import hashlib
import hmac
import re

#: Characters of the instructions that are no coincidence, word by word; shorter ones count as a whole.
RUN = 200
#: Instructions shorter than this say nothing that is theirs alone.
LEAST = 40

_SPACE = re.compile(r"\s+")
_NO_LETTER = re.compile(r"[^0-9a-z]")


def canary_of(instructions: str, *, secret: str) -> str:
    """A mark that nobody can guess, the same for the same instructions: providers cache what begins alike."""
    digest = hmac.new(secret.encode(), b"canary of " + instructions.encode("utf-8", "replace"), hashlib.sha256)
    return digest.hexdigest()[:12]


def gives_away(said: str, *, instructions: str, canary: str) -> bool:
    """Whether `said` holds the canary, however it is spelled, or RUN characters of the instructions on end."""
    if canary and _NO_LETTER.sub("", canary) in _NO_LETTER.sub("", said.casefold()):
        return True
    said, told = _SPACE.sub(" ", said).casefold(), _SPACE.sub(" ", instructions).casefold().strip()
    if len(told) < LEAST:
        return False
    run = min(RUN, len(told))
    # Whatever `run` characters in a row there are, they hold a whole block of half as many.
    half = run // 2
    return any(
        _longest_around(said, told, at, half) >= run
        for at in range(0, len(told) - half + 1, half)
        if told[at : at + half] in said
    )


def _longest_around(said: str, told: str, at: int, length: int) -> int:
    """How many characters around this block of the instructions stand in what was said as they do there."""
    longest = 0
    found = said.find(told[at : at + length])
    while found >= 0:
        before, after = 0, length
        while before < min(at, found) and told[at - before - 1] == said[found - before - 1]:
            before += 1
        while at + after < len(told) and found + after < len(said) and told[at + after] == said[found + after]:
            after += 1
        longest = max(longest, before + after)
        found = said.find(told[at : at + length], found + 1)
    return longest
