"""How does one reader follow one try of one reply, from its first piece to its end?"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from chats.following import read_reply
from chats.models import Reply
from core.db.executor import in_thread_until_answered
from streaming.hub import Hub
from streaming.reply_text import ReplyText, split_pieces


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Nothing was said for a while, or it is not yet this reply's turn."""


KEEP_ALIVE: Final = KeepAlive()


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


async def follow_reply(hub: Hub, reply: Reply, *, first: int = 0) -> AsyncGenerator[str | KeepAlive | Finished, None]:
    """The pieces of the try that `reply` names, from piece `first` on, as they are said; then how it finished.

    A try that its process loses finishes with a problem: what was appended can not be taken back.
    """
    index = first
    owner_id = reply.owner_id
    live: ReplyText | None = None
    with hub.watch(reply.chat_id) as watch:
        while True:
            watch.clear()
            if live is None:
                live = hub.find_live(chat_id=reply.chat_id, reply_id=reply.id, epoch=reply.epoch, owner_id=owner_id)
            while live is not None and index < len(live.pieces):
                yield live.pieces[index]
                index += 1
            if live is not None and live.outcome is not None:
                yield _finish(live.outcome.state, live.outcome.metadata)
                return
            # Of a text that is written here nobody needs to ask the database.
            if watch.stale and (live is None or live.is_remote or live.closed):
                watch.stale = False
                snapshot = await in_thread_until_answered(read_reply, tenant_id=reply.tenant_id, reply_id=reply.id)
                if snapshot is None:
                    yield Finished(_DELETED)
                    return
                if snapshot.epoch != reply.epoch:
                    yield Finished(_LOST)
                    return
                if snapshot.state not in Reply.OPEN:
                    if live is not None:
                        await hub.read_to_end(live)
                    pieces = live.pieces if live is not None else []
                    if index > len(pieces):
                        # It ended unheard, and where its pieces were cut is not known any more.
                        yield Finished(_OVER)
                        return
                    for piece in pieces[index:]:
                        yield piece
                    for piece in split_pieces(snapshot.content[sum(map(len, pieces)) :]):
                        yield piece
                    yield _finish(snapshot.state, snapshot.metadata)
                    return
                if live is None and owner_id != snapshot.owner_id:
                    owner_id = snapshot.owner_id
                    continue
            if not await watch.wait(settings.PING_SECONDS):
                yield KEEP_ALIVE


def _finish(state: str, metadata: dict[str, Any]) -> Finished:
    problem = _FAILED if state == Reply.State.FAILED else None
    return Finished(problem, escalated=state == Reply.State.DROPPED or bool(metadata.get("escalated")))
