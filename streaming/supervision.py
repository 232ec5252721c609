"""What if a task ends that the process needs for as long as it serves?

It is begun again. What it missed meanwhile is found by the looks once a second, so nothing is lost; but it is a fault
of the program, so it is logged with its trace, counted, and told in the body of `/readyz`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from core.observability import metrics

logger = logging.getLogger(__name__)

#: Seconds until a task that ended is begun again: one that fails at once must not keep the event loop busy.
RESTART_SECONDS = 1.0

#: How often each task was begun again since the process started.
restarts: Counter[str] = Counter()


async def supervise(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work()`, and again whenever it ends or fails, until cancelled. `name` is one of `metrics.TASKS`."""
    while True:
        failure: BaseException | None = None
        try:
            await work()
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # A library cancelled something of its own.
            failure = cancelled
        except Exception as exception:
            failure = exception
        logger.error("the task %s ended and is begun again", name, exc_info=failure)
        restarts[name] += 1
        metrics.TASK_RESTARTS.labels(name).inc()
        del failure
        await asyncio.sleep(RESTART_SECONDS)
