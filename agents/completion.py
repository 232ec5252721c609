"""What does a streamed chat completion say?

The parser of the OpenAI-compatible wire, apart from any connection. It runs for every token of every
reply, so the usual chunk takes the shortest way through it.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from agents.contract import Usage
from agents.event_stream import EventStream, EventTooLong

_REPLACEMENT = "\ufffd"
#: What we know of why a model stops; anything else is as good as "stop".
_FINISH_REASONS = ("stop", "length", "content_filter")


class Completion:
    """One reply, as far as it has been read. Nothing counts after its end but usage."""

    def __init__(self) -> None:
        #: Why the model stopped, once it has.
        self.finish_reason: str | None = None
        #: What the model reports, where it does.
        self.usage: Usage | None = None
        #: What is wrong with the stream, for the log; what was said before it still counts.
        self.failure: str | None = None
        #: How many events there were.
        self.events = 0
        self._stream = EventStream()
        self._half = ""  # of a surrogate pair whose other half comes with the next delta

    def feed(self, chunk: bytes) -> str:
        """What the model says in this chunk of the body."""
        said = []
        try:
            for data in self._stream.feed(chunk):
                self.events += 1
                if data == b"[DONE]":
                    self._finish("stop")
                elif text := self._read(data):
                    said.append(text)
                if self.failure:
                    break
        except EventTooLong:
            self._fail("it sent an event without an end")
        except (ValueError, RecursionError):
            self._fail("it sent an event that is not JSON")
        except (AttributeError, TypeError, LookupError):
            self._fail("it sent an event that is not a chat completion")
        if self.finish_reason and self._half:
            said.append(_REPLACEMENT)
            self._half = ""
        return "".join(said)

    def _read(self, data: bytes) -> str:
        """What one event says. Raises whatever comes of reading what is not a chat completion."""
        text: Any = ""
        may_hold_surrogates = False
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            # orjson refuses lone surrogates, of which some models make their emoji.
            event = json.loads(data)
            may_hold_surrogates = True
        if event.get("error"):
            self._fail("it reported an error")
            return ""
        if choices := event.get("choices"):
            choice = choices[0]
            if self.finish_reason is None and (delta := choice.get("delta")):
                text = delta.get("content") or ""
                if not isinstance(text, str):
                    raise TypeError
                if may_hold_surrogates or self._half:
                    text = self._with_whole_characters(text)
                if "\0" in text:
                    text = text.replace("\0", "")
            if reason := choice.get("finish_reason"):
                self._finish(reason)
        if usage := event.get("usage"):
            self._count(usage["prompt_tokens"], usage["completion_tokens"])
        return text

    def _count(self, *tokens: object) -> None:
        read, written = (count if isinstance(count, int) and count >= 0 else None for count in tokens)
        if read is not None and written is not None:
            self.usage = Usage(read, written)

    def _finish(self, reason: str) -> None:
        if self.finish_reason is None:
            self.finish_reason = reason if reason in _FINISH_REASONS else "stop"

    def _fail(self, how: str) -> None:
        if self.finish_reason is None:
            self.failure = how

    def _with_whole_characters(self, text: str) -> str:
        """`text` with surrogate pairs joined and lone ones replaced; a first half at its end is kept for the next."""
        text = self._half + text
        self._half = ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
