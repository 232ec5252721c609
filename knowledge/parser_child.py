"""What runs in the process that reads one foreign file or page?

`knowledge/parser_process.py` starts it and says over standard input what is to be read: a line of JSON and, after it,
the file. It answers over standard output, a line of JSON for each thing: `{"place": …, "fields": {…}}` is an article,
and the last line says how it ended, `{"read": 3}`, `{"unreadable": "why"}` or `{"failed": "what", "trace": "where"}`.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from knowledge.article_files import Draft, Unreadable, read_file, read_upload

#: Makes articles of a file's bytes. Raises Unreadable.
Reader = Callable[[bytes], list[Draft]]

#: What `failed` says where there was not enough memory.
MEMORY = "memory"


def main() -> None:
    """Read what standard input asks for, within the limits it names."""
    asked = json.loads(sys.stdin.buffer.readline())
    read = _reader(asked)
    _limit(asked["seconds"], asked["memory_bytes"])
    answer(lambda: read(sys.stdin.buffer.read()), sys.stdout.buffer)


def _reader(asked: dict[str, Any]) -> Reader:
    """What reads the bytes. Its libraries are there before memory is counted."""
    name = asked["name"]
    match asked["reader"]:
        case "upload":
            return lambda content: read_upload(name, content)
        case "file":
            return lambda content: read_file(name, content)
        case "page":
            from knowledge import page_text

            sys.setrecursionlimit(max(sys.getrecursionlimit(), page_text.RECURSION_LIMIT))
            return lambda content: [page_text.read_page(name, content, asked["kind"], asked["charset"])]
    raise ValueError(asked["reader"])


def answer(read: Callable[[], list[Draft]], out: BinaryIO) -> None:
    """Write the articles that `read` reads, or why it reads none."""
    try:
        drafts = read()
        for draft in drafts:
            _write(out, {"place": draft.place, "fields": draft.fields})
        ended: dict[str, Any] = {"read": len(drafts)}
    except Unreadable as error:
        ended = {"unreadable": str(error)}
    except MemoryError:
        ended = {"failed": MEMORY, "trace": ""}
    except BrokenPipeError:
        return
    except Exception as error:
        # What the error says may quote the file, and a log must not.
        ended = {"failed": type(error).__name__, "trace": "".join(traceback.format_tb(error.__traceback__))}
    with contextlib.suppress(BrokenPipeError):
        _write(out, ended)
        out.flush()


def _write(out: BinaryIO, line: dict[str, Any]) -> None:
    # Half a surrogate pair, which a page may spell, is the import's to refuse.
    out.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")


def _limit(seconds: float, memory_bytes: int) -> None:
    """Have the kernel end this process when it takes longer, also where nobody is left who would.

    On Linux, refuse it more memory than what it has now and so many bytes. A core file would hold the foreign file.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)
    _lower(resource.RLIMIT_CPU, int(seconds) + 1)
    _lower(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(FileNotFoundError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    with contextlib.suppress(ValueError, OSError):
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowered, hard))
