"""What did every client do and see? One JSON line for each phase of each operation, in the order it happened.

An operation is invoked, and then is `ok`, `fail` (it did not happen) or `info` (nobody knows: a timeout, a
connection that broke). The checker (tests/campaign/checker.py) reads nothing else of the clients.

| op | id | what the line tells besides |
|---|---|---|
| `post` | client_message_id | invoke: tenant, chat, user, content; ok: message_id; fail: code |
| `connect` | the client's how many-th connection | invoke: tenant, chat, after; fail: why |
| `see` | the connection | event: what the server sent |
| `close` | the connection | code, and whether it was closed `by` client or server |
| `finish` | the connection | it waited to the end: all that is stored must have reached it |
| `await` | a message_id | whether a connection that stayed open was told of it in time |
| `sse` | a response | tenant, chat, stream, and number and data of an event |
| `read` | | tenant, and the ids of chats and messages it was shown |
| `delete` | a chat | it is gone, by request |
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class History:
    """The lines of one scenario, in memory and in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self._file = path.open("w")

    def add(self, client: str, op: str, phase: str, *, id: object = None, **saw: Any) -> None:
        line = {"at": round(time.monotonic(), 4), "client": client, "op": op, "id": id, "phase": phase, **saw}
        self.lines.append(line)
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        self._file.close()
