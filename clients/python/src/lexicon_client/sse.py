"""What do the bytes of a Server-Sent Events stream say, however they are cut?"""

from __future__ import annotations

import codecs
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event: its data, and the last id the stream gave."""

    data: str
    id: str | None


class SseParser:
    """Reads a stream in chunks of any size; lines may end in LF, CR or CRLF, as the standard has it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._parts: list[str] = []
        self._after_cr = False
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes. An event that the stream's end cuts is none."""
        events = []
        text = self._decoder.decode(chunk)
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        self._after_cr = self._after_cr or text.endswith("\r")
        *lines, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            event = self._line("".join(self._parts) + line)
            self._parts.clear()
            if event is not None:
                events.append(event)
        if rest:
            self._parts.append(rest)
        return events

    def _line(self, line: str) -> SseEvent | None:
        if not line:
            data, self._data = self._data, []
            return SseEvent("\n".join(data), self._id) if data else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None
