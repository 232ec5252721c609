"""How is a foreign file read without holding up anybody?

By a process of its own for each, which ends when it takes too long or too much (knowledge/parser_child.py). It is a new
interpreter: a fork would take the server's threads, locks and connections along, and multiprocessing's fork server runs
the server's main module again in every child. It is given no environment, so no secret, and what it answers is text.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from knowledge.article_files import COLUMNS, Draft, Unreadable, shown
from knowledge.parser_child import MEMORY

logger = logging.getLogger(__name__)

#: How long a file may take to read, in seconds.
MOST_SECONDS = 10.0
#: Memory beyond what an interpreter with its libraries takes, in bytes.
MOST_MEMORY_BYTES = 512 * 2**20
#: Most that a file may hold when it is read, in bytes of JSON.
MOST_ANSWER_BYTES = 256 * 2**20
#: Files that one process of the server reads at once, and how long another waits for its turn, in seconds.
MOST_AT_ONCE = 2
MOST_WAITING_SECONDS = 20.0

_UNEXPECTED = "the program that reads it ended unexpectedly"
_turns = threading.BoundedSemaphore(MOST_AT_ONCE)
_ROOT = str(Path(__file__).resolve().parent.parent)
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from knowledge.parser_child import main; main()"
#: Where the dynamic linker finds the libraries of an interpreter that stands elsewhere.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_CHUNK = 2**16
#: Of what an interpreter complains of when it dies, so many bytes are logged.
_LOGGED_BYTES = 2_000
#: From the end of what a child says to its own, in seconds.
_ENDING_SECONDS = 1.0
#: The signals of the kernel's limits on time.
_OUT_OF_TIME = (signal.SIGXCPU, signal.SIGALRM)


def read_upload(name: str, content: bytes) -> list[Draft]:
    """As `knowledge.article_files.read_upload`. Raises Unreadable, also where reading it failed."""
    return _read({"reader": "upload", "name": name}, content)


def read_file(name: str, content: bytes) -> list[Draft]:
    """As `knowledge.article_files.read_file`. Raises Unreadable, also where reading it failed."""
    return _read({"reader": "file", "name": name}, content)


def read_page(url: str, content: bytes, kind: str, charset: str | None) -> Draft:
    """As `knowledge.page_text.read_page`. Raises Unreadable, also where reading it failed."""
    drafts = _read({"reader": "page", "name": url, "kind": kind, "charset": charset}, content)
    if len(drafts) != 1:
        raise Unreadable(f"{shown(url)} could not be read: the program that reads it answered no article.")
    return drafts[0]


def _read(asked: dict[str, Any], content: bytes) -> list[Draft]:
    name = shown(asked["name"])
    if not _turns.acquire(timeout=MOST_WAITING_SECONDS):
        raise Unreadable(f"{name}: other files are being read at this moment. Try again in a minute.")
    try:
        until = time.monotonic() + MOST_SECONDS
        head = json.dumps({**asked, "seconds": MOST_SECONDS, "memory_bytes": MOST_MEMORY_BYTES}).encode()
        drafts: list[Draft] = []
        with _started() as process:
            for line in _lines(process, head + b"\n" + content, until, name):
                said = json.loads(line.decode("utf-8", "surrogatepass"))
                if "fields" not in said:
                    return _ended(said, drafts, name)
                drafts.append(_draft(said))
            raise Unreadable(f"{name} {_why(process)}.")
    except OSError:
        logger.exception("no process was started to read a file")
        raise Unreadable(f"{name} could not be read: no program was started that reads it.") from None
    except (ValueError, KeyError, TypeError):
        logger.exception("what reads files answered something else")
        raise Unreadable(f"{name} could not be read: {_UNEXPECTED}.") from None
    finally:
        _turns.release()


@contextlib.contextmanager
def _started() -> Iterator[subprocess.Popen[bytes]]:
    """A new child, which is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-W", "ignore", "-c", _PROGRAM, _ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
        cwd="/",
        # Ctrl-C is for who asked: that one ends the child.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                _given(pipe).close()


def _given(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _lines(process: subprocess.Popen[bytes], question: bytes, until: float, name: str) -> Iterator[bytes]:
    """What the child answers, until it ends. Raises Unreadable where that is too late or too much."""
    stdin, stdout, stderr = map(_given, (process.stdin, process.stdout, process.stderr))
    rest = memoryview(question)
    begun: list[bytes] = []
    room = MOST_ANSWER_BYTES
    with selectors.DefaultSelector() as selector:
        for pipe in (stdin, stdout, stderr):
            os.set_blocking(pipe.fileno(), False)
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            if (left := until - time.monotonic()) <= 0:
                raise Unreadable(f"{name} took longer than {MOST_SECONDS:.0f} seconds to read.")
            for key, _ in selector.select(left):
                if key.fileobj is stdin:
                    try:
                        rest = rest[os.write(stdin.fileno(), rest[:_CHUNK]) :]
                    except BlockingIOError:
                        continue
                    except BrokenPipeError:
                        rest = rest[len(rest) :]
                    if not rest:
                        selector.unregister(stdin)
                        with contextlib.suppress(BrokenPipeError):
                            stdin.close()
                    continue
                chunk = os.read(stdout.fileno(), _CHUNK)
                if not chunk:
                    return
                room -= len(chunk)
                if room < 0:
                    raise Unreadable(f"{name} holds more than {MOST_ANSWER_BYTES // 2**20} MiB. Import it in parts.")
                *whole, last = chunk.split(b"\n")
                for line in whole:
                    yield b"".join([*begun, line])
                    begun.clear()
                begun.append(last)


def _draft(said: dict[str, Any]) -> Draft:
    """Raises ValueError where it is none."""
    place, fields = said["place"], said["fields"]
    if not isinstance(place, str) or not isinstance(fields, dict):
        raise ValueError("no article")
    if not fields.keys() <= set(COLUMNS) or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("no fields of an article")
    return Draft(place, fields)


def _ended(said: dict[str, Any], drafts: list[Draft], name: str) -> list[Draft]:
    """What was read. Raises Unreadable where the child says that it could not, ValueError where that is no answer."""
    if "unreadable" in said:
        raise Unreadable(str(said["unreadable"]))
    if "failed" in said:
        if said["failed"] == MEMORY:
            raise Unreadable(f"{name} needed more than {MOST_MEMORY_BYTES // 2**20} MiB of memory to read.")
        logger.error("reading a file failed: %s\n%s", said["failed"], said["trace"])
        raise Unreadable(f"{name} could not be read: the program that reads it failed ({said['failed']}).")
    if said["read"] != len(drafts):
        raise ValueError("articles are missing")
    return drafts


def _why(process: subprocess.Popen[bytes]) -> str:
    """Why a child ended that did not say so itself: goes well after the file's name."""
    try:
        code = process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if -code in _OUT_OF_TIME:
        return f"took longer than {MOST_SECONDS:.0f} seconds to read"
    complaint = b""
    with contextlib.suppress(BlockingIOError):
        complaint = os.read(_given(process.stderr).fileno(), _LOGGED_BYTES)
    logger.error("the process that reads a file ended with %d\n%s", code, complaint.decode(errors="replace"))
    return f"could not be read: {_UNEXPECTED}"
