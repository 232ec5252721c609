"""What does a log line look like?

Text for people, JSON for machines. No message text, no key: code logs ids and counts only, and
what still could carry a key (addresses with a query) passes `redact`.
"""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

#: The id of the request being answered, "" outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

_SECRETS = re.compile(r"((?:api_key|token|key)=)[^&\s\"']+|\b(lx[tc]_)[0-9A-Za-z]+", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")


def redact(text: str) -> str:
    """`text` without keys and tokens, and without control characters that could forge a line."""
    text = _SECRETS.sub(lambda match: (match[1] or match[2]) + "[redacted]", text)
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


class TextFormatter(logging.Formatter):
    """One readable line, and the trace of an exception below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = f"{time} {record.levelname} {record.name}: {redact(record.getMessage()).replace(chr(10), ' ')}"
        if current := request_id.get():
            line += f" request_id={current}"
        if record.exc_info:
            line += "\n" + redact(self.formatException(record.exc_info))
        return line


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if current := request_id.get():
            entry["request_id"] = current
        if record.exc_info:
            entry["trace"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(entry).decode()
