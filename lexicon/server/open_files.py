"""How many files may this process have open, and how many of them may be connections?"""

from __future__ import annotations

import contextlib
import functools
import resource

#: A process that may open fewer can not serve many sockets (`manage.py check` says so).
ENOUGH = 4096
#: What is kept for the database, Redis, models, webhooks and files: at most half of what there is.
_RESERVE = 256
#: uvicorn's own backlog: connections that the kernel completes before they are accepted.
_BACKLOG = 2048


def hard_limit() -> float:
    """How many files this process may ask to have open; infinity where nothing bounds it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return float("inf") if hard == resource.RLIM_INFINITY else hard


def raise_limit() -> None:
    """Ask for as many open files as this process may have. What it starts inherits that."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # Where nothing bounds it, as on macOS, the kernel still refuses to be asked for more than it has.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _limit() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


@functools.cache
def most_connections() -> int:
    """How many connections this process may have, of both kinds."""
    return _limit() - min(_limit() // 2, _RESERVE)


@functools.cache
def most_websockets() -> int:
    """How many of them may be WebSockets, which stay: there is always room for requests beside them."""
    return most_connections() * 7 // 8


def backlog() -> int:
    """How many connections may wait to be accepted. All of them are accepted at once, and must find room."""
    return min(_BACKLOG, max(1, _limit() // 4))
