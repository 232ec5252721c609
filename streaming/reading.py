"""How does one reader follow one try of one reply, from its first piece to its end?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from chats.following import read_reply
from chats.models import Reply
from lexicon.database import in_thread_until_answered
from streaming.hub import Hub
from streaming.live import LiveText, cut


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was said for a while, or it is not yet this reply's turn."""


SILENCE: Final = Silence()


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more follows."""

    #: Why there is no whole reply; None where there is one.
    problem: str | None = None
    escalated: bool = False


_LOST = "The reply was interrupted; it is written anew and will be in the history"
_OVER = "The reply has ended meanwhile; it is in the history"
_DELETED = "The conversation was deleted"
_FAILED = "The agent could not finish its reply"


async def read_aloud(hub: Hub, reply: Reply, *, first: int = 0) -> AsyncGenerator[str | Silence | Finished, None]:
    """The pieces of the try that `reply` names, from piece `first` on, as they are said; then how it finished.

    A try that its process loses finishes with a problem: whoever appends can not take back.
    """
    said = 0
    heard: LiveText | None = None
    with hub.watch(reply.chat_id) as changed:
        while True:
            changed.clear()
            live = hub.find_live(reply.id, reply.epoch)
            if live is not None and live is not heard:
                heard = live
                said = sum(map(len, live.pieces[:first]))
                async with aclosing(_live_pieces(live, first)) as pieces:
                    async for piece in pieces:
                        said += len(piece) if isinstance(piece, str) else 0
                        yield piece
                if live.outcome is not None:
                    yield _finish(live.outcome.state, live.outcome.metadata)
                    return
            standing = await in_thread_until_answered(read_reply, tenant_id=reply.tenant_id, reply_id=reply.id)
            if standing is None:
                yield Finished(_DELETED)
                return
            if standing.epoch != reply.epoch:
                yield Finished(_LOST)
                return
            if standing.state not in Reply.OPEN:
                if heard is None and first:
                    # It ended unheard, and where its pieces were cut is not known any more.
                    yield Finished(_OVER)
                    return
                for rest in cut(standing.content[said:]):
                    yield rest
                yield _finish(standing.state, standing.metadata)
                return
            try:
                async with asyncio.timeout(settings.PING_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield SILENCE


async def _live_pieces(live: LiveText, index: int) -> AsyncGenerator[str | Silence, None]:
    while True:
        while index < len(live.pieces):
            yield live.pieces[index]
            index += 1
        if live.closed:
            return
        if not await live.wait(index, settings.PING_SECONDS):
            yield SILENCE


def _finish(state: str, metadata: dict[str, Any]) -> Finished:
    if state == Reply.State.FAILED:
        return Finished(_FAILED)
    return Finished(escalated=state == Reply.State.DROPPED or bool(metadata.get("escalated")))
