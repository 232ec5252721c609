"""How much of a chat fits into what a model may be told?"""

from __future__ import annotations

from collections.abc import Sequence

from agents.contract import Turn

#: Bytes of UTF-8 that are about a token. English has four characters to a token; what is written otherwise has fewer,
#: and more bytes to each, so that bytes come closer than characters (2 of Cyrillic, 1.3 of Chinese).
BYTES_OF_A_TOKEN = 4
#: What providers count for a message besides its text (OpenAI's cookbook, "How to count tokens": 3, and the role).
TOKENS_OF_A_TURN = 4


def tokens(text: str) -> int:
    """About how many tokens a text is; never asked of the model, whose own counter costs more than it saves."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_OF_A_TOKEN)


def newest(turns: Sequence[Turn], most: int) -> tuple[Turn, ...]:
    """The last of the turns that fit into so many tokens; no question without what was answered, and nothing half."""
    first = len(turns)
    end = first
    room = most
    while end:
        end -= 1
        room -= tokens(turns[end].content) + TOKENS_OF_A_TURN
        if room < 0:
            break
        # What was said without being asked for (by a person) stands at the beginning only where nothing is before it.
        if turns[end].role == "user" or end == 0:
            first = end
    return tuple(turns[first:])
