"""What did a client miss that comes back and says where it was?"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator

from chats.following import read_messages
from core.db.executor import in_thread_until_answered
from core.error_responses import error_of
from streaming import wire

#: Most messages that are told; the rest is the history (CONTRACT, guarantee 3).
MOST = 500
#: Messages read at once, so that a client that reads slowly holds few of them in memory.
_PAGE = 50


async def replay(*, tenant_id: uuid.UUID, chat_id: uuid.UUID, after: int, upto: int) -> AsyncGenerator[str, None]:
    """The events of the messages after one sequence up to another, the oldest MOST of them, then `replay_ended`.

    Raises ApiError where they can not be read.
    """
    last = min(after + MOST, upto)
    told = after
    while told < last:
        try:
            messages = await in_thread_until_answered(
                read_messages, tenant_id=tenant_id, chat_id=chat_id, after=told, upto=min(told + _PAGE, last)
            )
        except Exception as exception:
            raise error_of(exception) from exception
        if not messages:
            return  # The chat is gone, and the feed says so.
        for message in messages:
            for frame in wire.told(message):
                yield frame
            told = message.sequence
    yield wire.replay_ended(complete=last >= upto)
