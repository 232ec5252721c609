"""What does a log line look like, and what is it about?

JSON for machines, text for people. Code logs plain words and ids, never message text or a key; what a task is
about (`bind`) stands in fields of their own. Whatever others wrote (addresses, traces) passes `redact`, and of an
exception's own words only those are shown that can not hold what a user said.
"""

from __future__ import annotations

import logging
import re
import traceback
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

_PLAIN_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
_about: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)

_SECRETS = re.compile(
    r"""((?:api[_-]?key|token|key|password|passwd|secret|session|cookie|signature|dsn)=)[^&\s"',;]+
    |((?:api[_-]?key|token|password|passwd|secret|session|cookie|signature|dsn)["']?:\s*["']?)[^\s"',;]+
    |(\b(?:bearer|basic)\s+)[^\s"',;]+
    |(\b(?:lx[tc]_|whsec_|sk-))[0-9A-Za-z_+/=-]+
    |(://[^/\s:@"']*:)[^/\s@"']+(?=@)""",
    re.IGNORECASE | re.VERBOSE,
)
#: Ids, words and routes, which most fields are: looking for secrets takes ten times as long.
_HARMLESS = re.compile(r"[0-9a-f-]*|(?:[0-9A-Za-z/]|\{[a-z_]+\})*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_UNDERLINES = re.compile(r"^ *[~^]+\n", re.MULTILINE)
#: Exceptions whose words name parts of the program or of the machine. Any other's may quote what it choked on.
_PLAIN_SPOKEN = {"AttributeError", "ImportError", "NameError", "RuntimeError", "TypeError"} | {
    "IntegrityError",
    "InterfaceError",
    "OperationalError",
    "ProgrammingError",
}


# --- What a task is about ---


def choose_request_id(given: str) -> str:
    """The caller's own id where it is harmless, and a new one elsewhere."""
    return given if _PLAIN_ID.fullmatch(given) else uuid.uuid4().hex


def bind(**ids: object) -> None:
    """From now on this task's lines, and those of tasks it begins, carry these ids too. None is left out."""
    _about.set({**(_about.get() or {}), **{name: str(value) for name, value in ids.items() if value is not None}})


def begin(**ids: object) -> None:
    """As `bind`, but what the task that began this one was about is none of this one's."""
    _about.set(None)
    bind(**ids)


def about() -> dict[str, str]:
    """What this task's lines carry: request_id, tenant_id, chat_id, reply_id, connection_id, where known."""
    return _about.get() or {}


def fields(**values: object) -> dict[str, dict[str, object]]:
    """The `extra` of a line that has fields of its own. None is left out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


# --- What nobody may read ---


def redact(text: str) -> str:
    """`text` without keys and tokens, and without control characters that could forge a line."""
    if _HARMLESS.fullmatch(text):
        return text
    text = _SECRETS.sub(lambda match: next(filter(None, match.groups())) + "[redacted]", text)
    return text if text.isprintable() else _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def exception_text(exception: BaseException) -> str:
    """What the exception says, where that can not hold what a user said: one line; "[withheld]" for others."""
    if not (isinstance(exception, OSError) or _PLAIN_SPOKEN & {kind.__name__ for kind in type(exception).__mro__}):
        return "[withheld]"
    # Further lines of a database's error quote the row.
    return redact(str(exception).partition("\n")[0])


def trace(exception: BaseException) -> str:
    """Where the exception comes from, and those that led to it, the first one first."""
    told: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = exception
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = redact(_UNDERLINES.sub("", "".join(traceback.format_tb(current.__traceback__))))
        told.append(f"{frames}{type(current).__qualname__}: {exception_text(current)}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\nthen\n".join(reversed(told))


# --- Lines ---


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1]:
            entry["trace"] = trace(record.exc_info[1])
        return orjson.dumps(entry, default=str, option=orjson.OPT_UTC_Z).decode()


class TextFormatter(logging.Formatter):
    """One readable line, and the trace of an exception below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        words = [time, record.levelname, f"{record.name}:", _message(record).replace("\n", " ")]
        words += [f"{name}={str(value).replace(chr(10), ' ')}" for name, value in _fields(record).items()]
        if record.exc_info and record.exc_info[1]:
            words.append("\n" + trace(record.exc_info[1]))
        return " ".join(words)


def own_lines_only(record: logging.LogRecord) -> bool:
    """A filter: without uvicorn's lines on each socket, which hold its query. streaming/socket/log.py has its own."""
    return "WebSocket" not in str(record.msg) and not str(record.msg).startswith("connection ")


def unforeseen_only(record: logging.LogRecord) -> bool:
    """A filter: of Django's lines on failed requests those with a trace, without the path, which may name people.

    The others tell what lexicon/http/access_log.py tells, too.
    """
    record.msg, record.args = "unforeseen failure", ()
    return bool(record.exc_info)


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.name == "asyncio":
        # What follows describes the task, with the words of its exception.
        message = message.partition("\n")[0]
    return redact(message)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    own: dict[str, Any] = getattr(record, "fields", {})
    return {name: redact(value) if isinstance(value, str) else value for name, value in {**about(), **own}.items()}
