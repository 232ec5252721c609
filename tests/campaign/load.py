"""What clients do under every fault: talk, wait for each other, and in the end wait until all is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from chats.models import Chat
from tenants.models import EndUser
from tests.campaign.clients import Talker
from tests.campaign.database import Database
from tests.campaign.history import History
from tests.support.actors import Actor
from tests.support.client import script

_number = itertools.count(1)

TEXT = "The quick brown fox jumps over the lazy dog. "


def message(say: str = "Yes.", **directives: Any) -> str:
    """A message unlike any other, and what is to be answered to it."""
    return script(say=say, mark=next(_number), **directives)


def lasting(seconds: float, *, tokens: int = 40) -> str:
    """A message whose reply is said over so many seconds."""
    return message(TEXT, tokens=tokens, total_ms=round(seconds * 1000))


async def new_chats(database: Database, actor: Actor, count: int, *, status: str = "active") -> list[str]:
    """So many chats of alice's."""

    def make() -> list[str]:
        user, _ = EndUser.objects.get_or_create(tenant_id=actor.tenant_id, external_id="alice")
        chats = [Chat(tenant_id=actor.tenant_id, user=user, status=status) for _ in range(count)]
        return [str(chat.id) for chat in Chat.objects.bulk_create(chats)]

    return await database.run(make)


async def all_ready(talkers: Iterable[Talker], seconds: float = 60) -> None:
    await asyncio.gather(*(talker.ready(seconds) for talker in talkers))


async def settle(
    history: History,
    database: Database,
    actors: list[Actor],
    talkers: Iterable[Talker],
    *,
    seconds: float = 60,
    told: float = 10,
) -> bool:
    """Wait until no reply is owed, then until every client was told all; whether both happened in time.

    Who is connected then has waited to the end, and the checker holds it to that.
    """
    until = time.monotonic() + seconds + told
    replies_until = time.monotonic() + seconds
    while await database.open_replies(actors) and time.monotonic() < replies_until:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    last = {
        chat: row["last_sequence"] for stored in await database.dump(actors) for chat, row in stored["chats"].items()
    }

    async def was_told(talker: Talker) -> bool:
        if talker.gone is not None:
            return True
        with contextlib.suppress(TimeoutError):
            await talker.until(lambda: talker.is_open and (talker.seen or 0) >= last.get(talker.chat, 0), told)
            return True
        return False

    waited = list(talkers)
    done = await asyncio.gather(*(was_told(talker) for talker in waited))
    for talker in waited:
        if talker.is_open:
            history.add(talker.name, "finish", "ok", id=talker.number)
    return time.monotonic() < until and all(done)


async def closed_loop(poster: Talker, observer: Talker, count: int, *, deadline: float) -> list[float]:
    """Post, and wait until a connection elsewhere was told, again and again: how long each took, in seconds.

    It ends where somebody was not told in time.
    """
    took = []
    for _ in range(count):
        post = await poster.acknowledged(await poster.post(message()), 30)
        assert post.message_id is not None, post.refused
        began = time.monotonic()
        told = {"id": post.message_id, "phase": "ok"}
        try:
            await observer.until(partial(_was_told, observer, post.message_id), deadline)
        except TimeoutError:
            told["phase"] = "fail"
        took.append(time.monotonic() - began)
        observer.history.add(observer.name, "await", told["phase"], id=post.message_id, seconds=took[-1])
        if told["phase"] == "fail":
            break
    return took


def _was_told(talker: Talker, message_id: str | None) -> bool:
    return any(event.get("message_id") == message_id for event in reversed(talker.events))


async def leave_all(talkers: Iterable[Talker]) -> None:
    await asyncio.gather(*(talker.leave() for talker in talkers))
