"""Which events does a model's byte stream hold?

Server-sent events as the HTML standard defines them, as far as model providers use them: the data of
each event, whatever the chunks the bytes come in. Lines end with LF or CRLF.
"""

from __future__ import annotations

#: Longest line, in bytes: far beyond any reply, and short of harm to the process.
MAX_LINE = 16 * 1024 * 1024


class EventTooLong(ValueError):
    """A line does not end within MAX_LINE."""


class EventStream:
    """Cuts chunks of bytes into events. Feed it each chunk once, in order."""

    def __init__(self) -> None:
        self._line = bytearray()  # the last line, as far as it has come
        self._data: list[bytes] = []  # the data lines of the event that has not ended yet

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that end in this chunk.

        Raises EventTooLong.
        """
        self._line += chunk
        if b"\n" not in chunk:
            if len(self._line) > MAX_LINE:
                raise EventTooLong
            return []
        lines = bytes(self._line).split(b"\n")
        self._line = bytearray(lines.pop())
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" ").removesuffix(b"\r"))
            elif self._data and line in (b"", b"\r"):
                events.append(b"\n".join(self._data))
                self._data.clear()
        return events
