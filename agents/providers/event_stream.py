"""Which events does a model's byte stream hold?

Server-sent events as the HTML standard defines them, as far as model providers use them: the data of
each event, whatever the chunks the bytes come in. Lines end with LF or CRLF.
"""

from __future__ import annotations

#: Longest line and longest event, in bytes: far beyond any reply, and short of harm to the process.
MAX_LINE = 16 * 1024 * 1024


class EventTooLong(ValueError):
    """A line or an event does not end within MAX_LINE."""


class EventStream:
    """Cuts chunks of bytes into events. Feed it each chunk once, in order."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []  # the last line, as far as it has come
        self._length = 0  # of that
        self._data: list[bytes] = []  # the data lines of the event that has not ended yet
        self._more = 0  # bytes of those but the first

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that end in this chunk.

        Raises EventTooLong.
        """
        *lines, rest = chunk.split(b"\n")
        if lines and self._begun:
            lines[0] = b"".join(self._begun) + lines[0]
            self._begun.clear()
            self._length = 0
        if rest:
            self._begun.append(rest)
            self._length += len(rest)
            if self._length > MAX_LINE:
                raise EventTooLong
        events = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                if data:
                    self._more += len(line)
                    if self._more > MAX_LINE:
                        raise EventTooLong
                data.append(line[5:].removeprefix(b" ").removesuffix(b"\r"))
            elif data and line in (b"", b"\r"):
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
                self._more = 0
        return events
