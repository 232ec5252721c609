"""What is written down and counted of a socket that comes, goes or is refused?"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from chats.connections import Opened
from core.errors import AUTH_ERROR, RATE_LIMIT_EXCEEDED, WRONG_KEY_TYPE, ApiError
from core.observability import logs, metrics

logger = logging.getLogger(__name__)


def log_opened(opened: Opened) -> Callable[[], None]:
    """A socket was admitted; its task is about its tenant and chat from now on. Call the answer when it is gone."""
    began = time.monotonic()
    logs.bind(tenant_id=opened.chat.tenant_id, chat_id=opened.chat.id)
    logger.info("socket opened")
    metrics.REQUESTS.labels("websocket", "101").inc()
    metrics.CONNECTIONS.inc()

    def log_closed() -> None:
        metrics.CONNECTIONS.dec()
        logger.info("socket closed", extra=logs.fields(seconds=round(time.monotonic() - began, 1)))

    return log_closed


def log_refused(scope: Any, problem: ApiError) -> None:
    """A socket was not admitted."""
    metrics.REQUESTS.labels("websocket", str(problem.kind.close or 4500)).inc()
    # Who tries keys should be found.
    address = (scope.get("client") or [None])[0] if problem.kind in (AUTH_ERROR, WRONG_KEY_TYPE) else None
    # What is refused without end has lines of its own (core/refusals.py).
    level = logging.DEBUG if problem.kind is RATE_LIMIT_EXCEEDED else logging.INFO
    logger.log(level, "socket refused", extra=logs.fields(error_code=problem.kind.code, address=address))
