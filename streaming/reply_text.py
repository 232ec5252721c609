"""What has a running reply said so far, and how is its text cut?

Piece k of a try is the same for every reader, so text is cut once, by its owner, wherever it is read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from chats.replies.ending import Outcome

#: Most bytes of a piece as JSON, so that an SSE event with its frame stays within 4 KiB (CONTRACT).
PIECE_BYTES = 4000
#: Characters that fit whatever they are: JSON writes a control character in six bytes.
_ALWAYS_FIT = PIECE_BYTES // 6


def split_pieces(text: str) -> Iterator[str]:
    """`text` as pieces of at most PIECE_BYTES bytes of JSON each, never inside a character."""
    begin = 0
    while len(text) - begin > _ALWAYS_FIT:
        piece = text[begin : begin + PIECE_BYTES]
        while len(piece) > _ALWAYS_FIT and len(orjson.dumps(piece)) > PIECE_BYTES:
            piece = piece[: max(_ALWAYS_FIT, len(piece) // 2)]
        yield piece
        begin += len(piece)
    if begin < len(text):
        yield text[begin:]


class ReplyText:
    """The pieces of one try of one reply."""

    def __init__(self, reply_id: uuid.UUID, chat_id: uuid.UUID, epoch: int, *, is_remote: bool = False) -> None:
        self.reply_id = reply_id
        self.chat_id = chat_id
        self.epoch = epoch
        #: Whether another process writes it, and this one reads it from its copy.
        self.is_remote = is_remote
        self.pieces: list[str] = []
        #: How many of the pieces other processes can read.
        self.published = 0
        #: Nothing is added any more. Nobody tells the reader of a remote text so: the database knows.
        self.closed = False
        #: What became of the reply, once it is stored; None while it runs, and where this try was lost.
        self.outcome: Outcome | None = None

    def append(self, piece: str) -> None:
        """The owner says one piece more."""
        self.pieces.append(piece)

    def extend(self, first: int, pieces: Sequence[str]) -> bool:
        """Take the pieces from number `first` on, as far as they are new; whether any was."""
        known = len(self.pieces)
        if first > known:
            return False
        self.pieces += pieces[known - first :]
        return len(self.pieces) > known

    def close(self, outcome: Outcome | None) -> None:
        """The owner says nothing more."""
        self.closed = True
        self.outcome = outcome

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self.pieces)
