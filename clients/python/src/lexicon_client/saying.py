"""What is a message of ours, and what happens besides?"""

from __future__ import annotations

import json
import time
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
    #: When to send it again, on the monotonic clock, and how often it was refused for the moment.
    again_at: float | None = None
    refusals: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing more comes."""
        return self.reply is not None or self.error is not None or self.escalated

    @property
    def is_due(self) -> bool:
        """Whether it is to be sent again now."""
        return self.again_at is not None and self.again_at <= time.monotonic()

    def put_off(self, seconds: float) -> None:
        """It was refused for the moment, and nothing of it was stored."""
        self.refusals += 1
        self.again_at = time.monotonic() + seconds

    def again(self) -> str:
        """The frame, for the one time that it is due."""
        self.again_at = None
        return self.frame

    @property
    def stop_frame(self) -> str:
        """What stops this reply, once its id is known."""
        return json.dumps({"action": "stop", "message_id": self.reply_id})


class Progress:
    """How far a message of ours and the reply to it have come, for who holds its stream."""

    def __init__(self, saying: Saying) -> None:
        self._saying = saying

    @property
    def client_message_id(self) -> str:
        """The name we gave the message."""
        return self._saying.client_message_id

    @property
    def message_id(self) -> str | None:
        """The message's id, once it is stored."""
        return self._saying.message_id

    @property
    def text(self) -> str:
        """The reply so far."""
        return self._saying.text.shown

    @property
    def reply(self) -> Reply | None:
        """The reply, once it has ended; None where a person answers."""
        return self._saying.reply

    @property
    def escalated(self) -> bool:
        """Whether a person answers, and no reply comes from the agent."""
        return self._saying.escalated
