"""What is counted? Every metric of `/metrics`, with what it means.

Each process counts for itself, from its start; those of one WEB_CONCURRENCY are told together, as each gauge's mode
says. No label names a tenant. docs/watching.md says what to watch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

disable_created_metrics()

logger = logging.getLogger(__name__)

#: Seconds between two looks at how late the event loop is.
_LOOK_EVERY = 0.5
#: Seconds that are worth a line of the log.
_LATE = 1.0
#: Upper bounds, in seconds.
_QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)

REQUESTS = Counter(
    "lexicon_requests",
    "HTTP requests by their status. Face websocket: sockets admitted (101), or refused with this close code.",
    ["face", "status"],
)
REQUEST_SECONDS = Histogram(
    "lexicon_request_seconds", "From an HTTP request to the beginning of its answer.", ["face"], buckets=_QUICK
)
CONNECTIONS = Gauge("lexicon_connections", "WebSockets that are open.", multiprocess_mode="livesum")
LIMITS_HIT = Counter("lexicon_limits_hit", "Requests, sockets, frames and messages refused by a limit.", ["limit"])
REFUSALS = Counter("lexicon_refusals", "Connections, requests and visitors refused before they cost much.", ["reason"])

REPLIES = Counter("lexicon_replies", "Replies that ended, by how.", ["state"])
REPLIES_RUNNING = Gauge("lexicon_replies_running", "Replies that are being written here.", multiprocess_mode="livesum")
REPLIES_QUEUED = Gauge(
    "lexicon_replies_queued",
    "Replies that wait for their turn, in the whole installation.",
    multiprocess_mode="mostrecent",
)
OLDEST_QUEUED = Gauge(
    "lexicon_replies_queued_oldest_seconds",
    "How long the oldest of them has waited, in the whole installation.",
    multiprocess_mode="mostrecent",
)
FIRST_TOKEN_SECONDS = Histogram(
    "lexicon_first_token_seconds", "From asking the agent to its first words.", ["backend"], buckets=_SLOW
)
REPLY_SECONDS = Histogram(
    "lexicon_reply_seconds", "From the beginning of a reply's last try to its end in the history.", buckets=_SLOW
)
TOKENS = Counter("lexicon_tokens", "Tokens of replies that ended, as they are charged.", ["direction"])
MODEL_ERRORS = Counter("lexicon_model_errors", "Replies that their model (or the agent) failed.", ["reason"])
FLAGGED = Counter("lexicon_replies_flagged", "Replies that staff should look at, by why.", ["reason"])
TAKEOVERS = Counter("lexicon_takeovers", "Replies taken over from a process that died.")
ABANDONED = Counter(
    "lexicon_replies_abandoned", "Replies that failed because the processes that wrote them fell silent."
)

TASK_RESTARTS = Counter(
    "lexicon_task_restarts", "Tasks begun again that must never end: each is a fault of the program.", ["task"]
)
WEBHOOK_ATTEMPTS = Counter("lexicon_webhook_attempts", "Attempts to deliver a webhook, by how they went.", ["result"])

LOOP_LAG = Histogram(
    "lexicon_loop_lag_seconds", "How much too late the event loop was, asked twice a second.", buckets=_QUICK
)
HEARTBEAT_AGE = Gauge(
    "lexicon_heartbeat_age_seconds",
    "Since the database last answered this process's heartbeat, or since its start.",
    multiprocess_mode="livemax",
)
REDIS_UP = Gauge(
    "lexicon_redis_up", "Whether Redis answers; 1 where none is configured.", multiprocess_mode="mostrecent"
)

LIMITS = ("requests", "connections", "frames", "queue", "user_messages", "conversation", "credits")
#: Why somebody is refused (core/refusals.py): by the wire, by the bounds of an address, by load, staff's.
REFUSAL_REASONS = (
    "head",  # a request's head, or a handshake's line, that is too long
    "head_time",  # a head that did not come in time
    "body",  # a body that is too long
    "body_time",  # a body that fell silent
    "slow_reader",  # who does not read what it is sent
    "malformed",  # what is no HTTP, or a handshake that is none
    "connections",  # more connections than the process may have open
    "frame",  # a frame, or a number of its fragments, that is too large
    "control_frames",  # pings, pongs and closes without end
    "after_close",  # whatever was sent on a socket after it was closed
    "strangers",  # requests and handshakes without a valid key, of one address
    "visitors",  # new visitors of the chat page, of one address
    "visitor_messages",  # their messages
    "visitor_connections",  # their sockets
    "database_queue",  # messages, while too much waits for the database's threads
    "logins",  # logins to the admin, after too many that failed
)
#: What runs for as long as the process serves (streaming/supervision.py).
TASKS = (
    "reconcile",  # compares what runs here with what the database says
    "webhooks",
    "embeddings",
    "process_metrics",
    "refusal_lines",
    "hints_receive",  # from other processes, by Redis
    "hints_subscribe",
    "hints_send",
    "live_text_write",  # what replies say, to Redis
    "live_text_read",
    "poll",  # of the chats that are followed, once a second
)
REPLY_STATES = ("done", "failed", "stopped", "dropped")
DIRECTIONS = ("input", "output")
#: `AgentFailure.reason`, and "internal" for what no agent should raise.
MODEL_REASONS = ("connection", "timeout", "status", "stream", "silent", "internal")
#: How models are written, before the colon (agents/catalog.py).
BACKENDS = ("builtin", "openai", "anthropic")

for _backend in BACKENDS:
    FIRST_TOKEN_SECONDS.labels(_backend)
# A counter that is there from the beginning shows its first step, too.
for _counter, _labels in (
    (LIMITS_HIT, LIMITS),
    (REFUSALS, REFUSAL_REASONS),
    (TASK_RESTARTS, TASKS),
    (REPLIES, REPLY_STATES),
    (TOKENS, DIRECTIONS),
    (MODEL_ERRORS, MODEL_REASONS),
    (FLAGGED, ("instructions",)),
    (WEBHOOK_ATTEMPTS, ("delivered", "failed")),
):
    for _label in _labels:
        _counter.labels(_label)

_beat_at = time.monotonic()


def heartbeat_answered(asked: float) -> None:
    """The beat sent at this moment of the monotonic clock was answered."""
    global _beat_at
    _beat_at = asked


def reply_ended(*, state: str, seconds: float, input_tokens: int, output_tokens: int) -> None:
    """A reply is in the history."""
    REPLIES.labels(state).inc()
    REPLY_SECONDS.observe(max(0.0, seconds))
    TOKENS.labels("input").inc(input_tokens)
    TOKENS.labels("output").inc(output_tokens)


async def watch_process() -> None:
    """Ask, as long as the process lives, how late its event loop is, and how old its heartbeat."""
    while True:
        asked = time.monotonic()
        await asyncio.sleep(_LOOK_EVERY)
        now = time.monotonic()
        late = max(0.0, now - asked - _LOOK_EVERY)
        LOOP_LAG.observe(late)
        if late >= _LATE:
            logger.warning("the event loop was late", extra={"fields": {"seconds": round(late, 1)}})
        HEARTBEAT_AGE.set(now - _beat_at)


def text() -> bytes:
    """All of it, in Prometheus' text format."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest()
    # The folder that lexicon/serve.py gave its workers, in which each counts.
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry)
