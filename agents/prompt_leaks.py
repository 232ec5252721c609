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
_NO_LETTERS = re.compile(r"[^0-9a-z]+")


def canary_of(instructions: str, *, secret: str) -> str:
    """A mark that nobody can guess, the same for the same instructions: providers cache what begins alike."""
    digest = hmac.new(secret.encode(), b"canary of " + instructions.encode("utf-8", "replace"), hashlib.sha256)
    return digest.hexdigest()[:12]


def gives_away(said: str, *, instructions: str, canary: str) -> bool:
    """Whether `said` holds the canary, however it is spelled, or RUN characters of the instructions on end."""
    if canary and _NO_LETTERS.sub("", canary) in _NO_LETTERS.sub("", said.casefold()):
        return True
    said, told = _SPACE.sub(" ", said).casefold(), _SPACE.sub(" ", instructions).casefold().strip()
    return len(told) >= LEAST and _share(said, told, min(RUN, len(told)))


def _share(one: str, other: str, run: int) -> bool:
    """Whether both hold the same `run` characters on end. Takes as long as both are, times `run`."""
    # Whatever `run` characters in a row there are, they hold a whole block of half as many: mostly none is there.
    half = run // 2
    blocks = {one[at : at + half] for at in range(0, len(one) - half + 1, half)}
    if not any(other[at : at + half] in blocks for at in range(len(other) - half + 1)):
        return False
    shorter, longer = sorted((one, other), key=len)
    runs = {shorter[at : at + run] for at in range(len(shorter) - run + 1)}
    return any(longer[at : at + run] in runs for at in range(len(longer) - run + 1))
