"""How do several equal processes serve one port?

Their parent holds the listening socket and serves nothing itself. It replaces a worker that dies, and passes the
signal to stop on; a worker whose parent is gone stops as if it had been told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Sequence

from prometheus_client.multiprocess import mark_process_dead

logger = logging.getLogger(__name__)

#: Before a worker that died is replaced: one that can not start would keep the machine busy with trying.
REPLACE_SECONDS = 1.0


async def supervise(*, count: int, command: Sequence[str], descriptors: Sequence[int], stop_seconds: float) -> int:
    """Run `command` in so many processes that share the file descriptors, until SIGTERM or SIGINT; the exit code.

    0 if all of them ended in good order; one that takes longer than `stop_seconds` is killed.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    logger.info("%d workers serve", count)
    codes = await asyncio.gather(*(_keep(command, descriptors, stopping, stop_seconds) for _ in range(count)))
    # One that was told to stop while it started dies of the signal; there is nothing it could leave undone.
    return 0 if set(codes) <= {0, -signal.SIGTERM} else 1


async def _keep(
    command: Sequence[str], descriptors: Sequence[int], stopping: asyncio.Event, stop_seconds: float
) -> int:
    """Keep one worker running; the exit code of the one that was told to stop."""
    told = asyncio.create_task(stopping.wait())
    while True:
        worker = await asyncio.create_subprocess_exec(*command, pass_fds=descriptors)
        ending = asyncio.create_task(worker.wait())
        await asyncio.wait([ending, told], return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            return await _stop(worker, ending, stop_seconds)
        logger.error("worker %d ended with %d and is replaced", worker.pid, ending.result())
        # What it held is held no more.
        mark_process_dead(worker.pid)
        await asyncio.wait([told], timeout=REPLACE_SECONDS)
        if told.done():
            return 0


async def _stop(worker: asyncio.subprocess.Process, ending: asyncio.Task[int], stop_seconds: float) -> int:
    with contextlib.suppress(ProcessLookupError):
        worker.terminate()
    await asyncio.wait([ending], timeout=stop_seconds)
    if not ending.done():
        logger.error("worker %d does not stop and is killed", worker.pid)
        worker.kill()
    return await ending


def stop_with_parent(descriptor: int) -> None:
    """Stop this worker when its parent is gone, which alone holds the other end of this pipe."""

    def wait() -> None:
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
