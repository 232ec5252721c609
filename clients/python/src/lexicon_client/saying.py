"""What is a message of ours, and what happens besides?"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from lexicon_client.failure import LexiconError
from lexicon_client.models import Reply
from lexicon_client.text import Text, Token


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in the chat besides the replies to what you said; `data` is it as on the wire."""

    type: str
    data: dict[str, Any]


@dataclass(slots=True)
class Saying:
    """A message of ours and the reply to it, as far as they have come."""

    client_message_id: str
    frame: str
    message_id: str | None = None
    reply_id: str | None = None
    tokens: deque[Token] = field(default_factory=deque)
    text: Text = field(default_factory=Text)
    reply: Reply | None = None
    error: LexiconError | None = None
    escalated: bool = False
    stopping: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing more comes."""
        return self.reply is not None or self.error is not None or self.escalated

    @property
    def stop_frame(self) -> str:
        """What stops this reply, once its id is known."""
        return json.dumps({"action": "stop", "message_id": self.reply_id})
