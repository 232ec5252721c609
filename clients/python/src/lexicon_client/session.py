"""What does one who talks in a chat know of it? Nothing here touches the network.

Frames go in by `receive`; what is to be sent stands in `outbox`. After a cut it tells from where to go on,
what to send again, and by the close code whether there is any use in coming back.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any
from urllib.parse import urlencode

from lexicon_client.backoff import Backoff
from lexicon_client.errors import AgentError, ServiceUnavailable, error_of
from lexicon_client.failure import LexiconError, Unreachable
from lexicon_client.models import Chat, read_reply
from lexicon_client.saying import Event, Saying

#: Events that wait for somebody to iterate; beyond these the oldest are forgotten.
_MOST_EVENTS = 1000
_AUTH_CODE = 4401
_LIMIT_CODE = 4429
_ABNORMAL = 1006


class Session:
    """One user in one chat; `renewing` where each connection has a token of its own."""

    def __init__(self, chat_id: str, user_id: str, after: int | None, attempts: int, *, renewing: bool = False) -> None:
        self.chat_id = chat_id
        self.user_id = user_id
        #: The sequence of the last message heard of.
        self.after = after
        self.status = "active"
        self.established = False
        #: Set where a connection was told a part of what it missed only: close it and come back for more.
        self.behind = False
        self.events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self.outbox: deque[str] = deque()
        self.broken: LexiconError | None = None
        self._open: dict[str, Saying] = {}
        self._replaying = False
        self._refusal: LexiconError | None = None
        self._attempts = attempts
        self._backoff = Backoff(attempts)
        self._renewing = self._may_renew = renewing

    def connecting(self, chat: Chat) -> str:
        """The query to connect with by a key, given how the chat stands."""
        self.status = chat.status
        if self.after is None:
            self.after = chat.message_count
        return self._begin({"user_id": self.user_id, "chat_id": self.chat_id})

    def connecting_with(self, token: str) -> str:
        """The query to connect with by a chat token, which names user and chat."""
        self.after = self.after or 0
        return self._begin({"token": token})

    def _begin(self, named: dict[str, str]) -> str:
        self.behind, self._replaying, self._refusal = False, True, None
        self.outbox.clear()
        for saying in self._open.values():
            saying.again_at = None  # It is sent when all that was missed is told.
        return urlencode({**named, "after": self.after})

    def lost(self, code: int | None, cause: Exception) -> float:
        """The connection is gone: seconds until the next one. Raises where there is no use in one."""
        error = self._refusal or Unreachable(f"the connection was lost: {cause}")
        error.status = error.status or code
        never = code is not None and ((1002 <= code <= 1010 and code != _ABNORMAL) or 4400 <= code <= 4499)
        if code in (1005, _LIMIT_CODE):
            never = code == _LIMIT_CODE and not self.established
        if code == _AUTH_CODE and self._may_renew:
            # The token has expired, or its key was revoked: the next token tells.
            never = self._may_renew = False
        try:
            if never:
                raise error
            # Where the server says how long to wait, not before that.
            return self._backoff.wait(error, least=error.retry_after or 0)
        except LexiconError as last:
            self.broken = last
            raise

    def say(self, content: str, metadata: dict[str, Any] | None, client_message_id: str) -> Saying:
        """A message to be sent, now and after every cut until it is acknowledged."""
        said: dict[str, Any] = {"content": content, "client_message_id": client_message_id}
        if metadata is not None:
            said["metadata"] = metadata
        saying = Saying(client_message_id, json.dumps(said))
        self._open[client_message_id] = saying
        return saying

    def patience(self) -> float | None:
        """How many seconds to wait for an event before `repeat`; None where nothing is to be sent again."""
        moments = [saying.again_at for saying in self._open.values() if saying.again_at is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def repeat(self) -> None:
        """Send again what was refused for a moment that is over."""
        self.outbox.extend(saying.again() for saying in self._open.values() if saying.is_due)

    def receive(self, frame: str | bytes) -> None:
        """Take note of an event."""
        event: dict[str, Any] = json.loads(frame)
        getattr(self, f"_on_{event['event_type']}", lambda _: None)(event)
        self._open = {key: saying for key, saying in self._open.items() if not saying.done}

    def _on_connection_established(self, event: dict[str, Any]) -> None:
        self.established = True
        self._may_renew = self._renewing
        self.chat_id, self.user_id = event["chat_id"], event["user_id"]
        self.status = event.get("status", self.status)
        self._backoff.reset()

    def _on_replay_ended(self, event: dict[str, Any]) -> None:
        if not event["complete"]:
            self.behind = True
            return
        self._replaying = False
        self._drop_unanswered()
        for saying in self._open.values():
            if saying.message_id is None:
                self.outbox.append(saying.frame)
            elif saying.stopping and saying.reply_id is not None:
                self.outbox.append(saying.stop_frame)

    def _on_message_received(self, event: dict[str, Any]) -> None:
        new = self._advance(event)
        saying = self._open.get(event.get("client_message_id", ""))
        if saying is not None and event["user_id"] == self.user_id:
            saying.message_id = event["message_id"]
            self._drop_unanswered()
        elif new:
            self._tell(event)

    def _on_message_stream_started(self, event: dict[str, Any]) -> None:
        if (saying := self._answering(event)) is not None:
            saying.text.begin()
            if saying.stopping and saying.reply_id is None:
                saying.reply_id = event["message_id"]
                self.outbox.append(saying.stop_frame)
            saying.reply_id = event["message_id"]

    def _on_message_stream_token(self, event: dict[str, Any]) -> None:
        for saying in self._open.values():
            if saying.reply_id == event["message_id"]:
                saying.tokens += saying.text.add(event["token"])

    def _on_message_stream_ended(self, event: dict[str, Any]) -> None:
        self._advance(event)
        saying = self._answering(event)
        if saying is None:
            self._tell(event)
            return
        saying.tokens += saying.text.end(event["content"])
        saying.reply = read_reply(event)
        if saying.reply.failed:
            saying.error = AgentError("The agent could not finish its reply")

    def _on_chat_status_changed(self, event: dict[str, Any]) -> None:
        self.status = event["status"]
        self._drop_unanswered()
        self._tell(event)

    def _on_error(self, event: dict[str, Any]) -> None:
        error = error_of(event)
        saying = self._open.get(event["details"].get("client_message_id", ""))
        if saying is None:
            if not isinstance(error, AgentError):  # Its end tells the same.
                self._refusal = error
        elif isinstance(error, ServiceUnavailable) and saying.refusals < self._attempts:
            # Where the server stops, the next connection comes first.
            saying.put_off(error.retry_after or 0)
        else:
            saying.error = error

    def _advance(self, event: dict[str, Any]) -> bool:
        new: bool = event["sequence"] > (self.after or 0)
        self.after = max(self.after or 0, event["sequence"])
        return new

    def _answering(self, event: dict[str, Any]) -> Saying | None:
        asked = event.get("reply_to")
        return next((saying for saying in self._open.values() if asked and saying.message_id == asked), None)

    def _drop_unanswered(self) -> None:
        """What is said to a person gets no reply of the agent's, and what waited for one neither."""
        if self.status == "escalated" and not self._replaying:
            for saying in self._open.values():
                saying.escalated = saying.message_id is not None and saying.reply_id is None

    def _tell(self, event: dict[str, Any]) -> None:
        self.events.append(Event(event["event_type"], event))

    _on_message_rated = _tell
