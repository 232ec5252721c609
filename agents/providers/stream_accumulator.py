"""What has a model said so far, whatever wire it came over?

A wire is a subclass that reads one event. This runs for every token of every reply, so the usual event
takes the shortest way through it.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import orjson

from agents.contract import ToolCall, Usage
from agents.providers.event_stream import EventStream, EventTooLong

#: Most tools that are asked for at once, and most characters of the arguments of one: far beyond any use.
MAX_CALLS = 32
MAX_ARGUMENTS = 64 * 1024

_REPLACEMENT = "\ufffd"
#: What no provider takes back in the name of a tool.
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(slots=True)
class _Asked:
    """A tool that is being asked for, as far as its arguments have come."""

    id: str
    name: str
    arguments: list[str] = field(default_factory=list)
    length: int = 0


class StreamAccumulator(ABC):
    """One answer of a model, as far as it has been read. Nothing counts after its end but usage."""

    def __init__(self) -> None:
        #: Why the model stopped, once it has: "stop", "length" or "content_filter".
        self.finish_reason: str | None = None
        #: What the model reports, where it does.
        self.usage: Usage | None = None
        #: What is wrong with the stream, for the log; what was said before it still counts.
        self.failure: str | None = None
        #: Whether the failure may be over when it is asked again.
        self.failure_is_passing = False
        #: How many events there were.
        self.events = 0
        self._stream = EventStream()
        self._half = ""  # of a surrogate pair whose other half comes with the next delta
        self._asked: dict[Any, _Asked] = {}

    @abstractmethod
    def read(self, event: Any) -> Any:
        """What one event says: a text, if the model is sane.

        Raises whatever comes of reading what is none of the wire's.
        """

    def feed(self, chunk: bytes) -> str:
        """What the model says in this chunk of the body."""
        said = []
        try:
            for data in self._stream.feed(chunk):
                self.events += 1
                may_hold_surrogates = False
                try:
                    event = orjson.loads(data)
                except orjson.JSONDecodeError:
                    if data == b"[DONE]":
                        self.finish("stop")
                        continue
                    # orjson refuses lone surrogates, of which some models make their emoji.
                    event = json.loads(data)
                    may_hold_surrogates = True
                if text := self.read(event):
                    if not isinstance(text, str):
                        raise TypeError
                    if may_hold_surrogates or self._half:
                        text = self._with_whole_characters(text)
                    said.append(text.replace("\0", "") if "\0" in text else text)
                elif self.failure:
                    break
        except EventTooLong:
            self.fail("it sent an event without an end")
        except (ValueError, RecursionError):
            self.fail("it sent an event that is not JSON")
        except (AttributeError, TypeError, LookupError):
            self.fail("it sent an event that is no part of a reply")
        if self.finish_reason and self._half:
            said.append(_REPLACEMENT)
            self._half = ""
        return "".join(said)

    @property
    def calls(self) -> list[ToolCall]:
        """The tools it asks for, in order."""
        return [
            ToolCall(asked.id or f"call_{number}", asked.name, "".join(asked.arguments))
            for number, asked in enumerate(self._asked.values())
        ]

    # --- What a wire tells ---

    def finish(self, reason: str) -> None:
        """The model has stopped."""
        if self.finish_reason is None:
            self.finish_reason = reason

    def fail(self, how: str, *, is_passing: bool = False) -> None:
        """The stream is of no more use; that after the end is no failure."""
        if self.finish_reason is None:
            self.failure, self.failure_is_passing = how, is_passing

    def count(self, read: object, written: object) -> None:
        """The model reports its tokens; what is no number of them is no report."""
        if isinstance(read, int) and isinstance(written, int) and read >= 0 and written >= 0:
            self.usage = Usage(read, written)

    def ask(self, key: Any, call_id: str, name: str) -> None:
        """The model asks for a tool. `key` is how the wire names it while its arguments come."""
        if len(self._asked) >= MAX_CALLS:
            self.fail("it asked for too many tools at once")
        else:
            self._asked[key] = _Asked(str(call_id or ""), _NOT_A_NAME.sub("_", name)[:64] or "_")

    def argue(self, key: Any, text: str) -> None:
        """More of the arguments of a tool that was asked for."""
        asked = self._asked[key]
        asked.length += len(text)
        if asked.length > MAX_ARGUMENTS:
            self.fail("it wrote too much into the arguments of a tool")
        else:
            asked.arguments.append(text)

    def _with_whole_characters(self, text: str) -> str:
        """`text` with surrogate pairs joined and lone ones replaced; a first half at its end is kept for the next."""
        text = self._half + text
        self._half = ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
