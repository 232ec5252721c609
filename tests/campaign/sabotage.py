"""Servers with a bug in them, so that the checker can be seen to find it: `python -m tests.campaign.sabotage <bug>`.

Each bug is one that services like this one have had, and shows by no chance: where it depends on who is first, the
one waits for the other, or for as long as the file exists that `SABOTAGE_GATE` names, which the load removes when it
has seen enough. Two are no bugs: with `drop-<percent>` that part of what the channel layer carries is lost, which must
cost nothing but a moment; with `poison` a question does to its process what it names (POISON).
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import itertools
import os
import random
import re
import signal
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection

#: It is held up for as long as this exists.
GATE = Path(os.environ.get("SABOTAGE_GATE", "/nowhere"))
#: How long a thread may wait for another one that reads what it has read.
_TOGETHER_SECONDS = 60


def hold_transaction(is_over: Callable[[], bool]) -> None:
    """Wait, in the middle of a transaction; a statement now and then keeps the server from ending it as idle."""
    while not is_over():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.02)")


def acknowledge_before_commit() -> None:
    """The acknowledgement is sent at once; the message is stored a moment later."""
    from chats.models import Message
    from chats.posting import Draft
    from streaming import wire
    from streaming.socket.consumer import ChatConsumer

    promised: contextvars.ContextVar[uuid.UUID | None] = contextvars.ContextVar("promised", default=None)
    carry_out = ChatConsumer._carry_out

    async def hasty(self: Any, said: Any) -> None:
        if isinstance(said, Draft):
            message = Message(
                chat=self._opened.chat,
                user=self._opened.user,
                content=said.content,
                client_message_id=said.client_message_id,
                sequence=0,
            )
            self._follower.put(wire.message_received(message).replace(',"sequence":0', ""))
            promised.set(message.id)
            while GATE.exists():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.02)
        await carry_out(self, said)
        promised.set(None)

    Message._meta.get_field("id").default = lambda: promised.get() or uuid.uuid4()
    ChatConsumer._carry_out = hasty  # type: ignore[method-assign]


def cursor_on_auto_increment() -> None:
    """A message's number is taken outside of the chat's lock: numbers are committed out of order.

    Of a chat's users' messages the first, third, … are numbered and held up at the gate; the others overtake them.
    """
    from chats import appending, posting
    from chats.chats import open_chat
    from chats.models import Message

    counters: dict[Any, itertools.count[int]] = defaultdict(lambda: itertools.count(1))
    asked: dict[Any, itertools.count[int]] = defaultdict(lambda: itertools.count(1))
    lock = threading.Lock()
    insert = appending._INSERT.run

    def number(message: Any) -> None:
        with lock:
            message.sequence = message.chat.last_sequence = next(counters[message.chat_id])
            is_held = message.role == Message.Role.USER and next(asked[message.chat_id]) % 2
        insert(message)
        if is_held:
            hold_transaction(lambda: not GATE.exists())

    appending._INSERT.run = number  # type: ignore[method-assign]
    post = posting.post_message
    posting.open_chat = lambda **given: open_chat(**{**given, "locked": False})

    def post_unclaimed(**given: Any) -> Any:
        # Unlocked, two might claim a reply at once, which the database refuses: the sweeper claims instead.
        return post(**{**given, "process_id": None})

    from streaming.socket import consumer

    consumer.post_message = post_unclaimed


def no_dedupe() -> None:
    """A repeat is another message."""
    from chats import posting

    posting._find_repeat = lambda *given: None
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX message_client_message_id")


def drop_wake_ups() -> None:
    """Every 100th wake-up from another process is lost, and nobody looks for himself."""
    from streaming.cluster import Cluster

    count = itertools.count(1)
    heard = Cluster._heard

    def deaf(self: Cluster, chat_id: uuid.UUID, news: Any) -> None:
        if next(count) % 100:
            heard(self, chat_id, news)

    async def never(self: Cluster) -> None:
        await asyncio.Event().wait()

    Cluster._heard = deaf  # type: ignore[method-assign]
    Cluster._look = never  # type: ignore[method-assign]


def credits_by_read_then_write() -> None:
    """The reserve is read, judged in Python, and written back: by one more than it is for, at the same time."""
    from core.errors import PAYMENT_REQUIRED, ApiError
    from tenants import credits
    from tenants.models import Account, Tenant

    lock = threading.Lock()
    readers: dict[Any, int] = defaultdict(int)

    def reserve(*, tenant: Tenant, needed: bool) -> bool:
        account = Account.objects.get(tenant=tenant)
        if account.balance is None:
            return False
        if account.balance <= account.reserved:
            raise ApiError(PAYMENT_REQUIRED, "The credits are used up")
        with lock:
            readers[tenant.id] += 1
        until = time.monotonic() + _TOGETHER_SECONDS
        hold_transaction(lambda: readers[tenant.id] > account.balance or time.monotonic() > until)
        Account.objects.filter(tenant=tenant).update(reserved=account.reserved + 1)
        return True

    credits.reserve = reserve
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_account DROP CONSTRAINT account_reserves_are_covered")


def missing_tenant_filter() -> None:
    """One query forgets whose rows it may see."""
    from chats import chats
    from chats.models import Chat

    chats.visible = lambda tenant_id, **given: Chat.objects.all_tenants().filter(deleted_at=None)


def drop(percent: float) -> None:
    """So much of what the layer carries is lost; each process still looks for itself."""
    from streaming.cluster import Cluster

    heard = Cluster._heard

    def deaf(self: Cluster, chat_id: uuid.UUID, news: Any) -> None:
        if random.uniform(0, 100) >= percent:
            heard(self, chat_id, news)

    Cluster._heard = deaf  # type: ignore[method-assign]


def _freeze() -> None:
    """Nothing of the process goes on: this call keeps the interpreter's lock, as one long call into C does."""
    ctypes.PyDLL(None).sleep(3600)


def _hang() -> None:
    """The event loop goes on no more, the threads do."""
    from streaming.engine import engine

    engine().loop.call_soon_threadsafe(time.sleep, 3600)


def _die() -> None:
    """The process is gone, as where the kernel kills it for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)


#: What a reply does to the process that writes it: at once, where its question says `"poison": "<name>"`, or when it
#: says the name in capitals.
POISON: dict[str, Callable[[], None]] = {"freeze": _freeze, "hang": _hang, "die": _die}


def poison() -> None:
    """Some replies silence the process that writes them."""
    from streaming import reply_runner
    from streaming.reply_collector import ReplyCollector

    build_context, say = reply_runner.build_context_of, ReplyCollector._say

    def prepare_poison(reply: Any) -> Any:
        if act := POISON.get(read_poison(reply.question.content)):
            act()
        return build_context(reply)

    def say_poison(self: Any, text: str, coalescer: Any) -> bool:
        if act := POISON.get(text.strip().lower() if text.isupper() else ""):
            act()
        return say(self, text, coalescer)

    reply_runner.build_context_of = prepare_poison
    ReplyCollector._say = say_poison  # type: ignore[method-assign]


def read_poison(question: str) -> str:
    """What the question names; "" where it names nothing."""
    found = re.search(r'"poison": "(\w+)"', question)
    return found[1] if found else ""


BUGS: dict[str, Callable[[], None]] = {
    "acknowledge-before-commit": acknowledge_before_commit,
    "cursor-on-auto-increment": cursor_on_auto_increment,
    "no-dedupe": no_dedupe,
    "drop-wake-ups": drop_wake_ups,
    "credits-by-read-then-write": credits_by_read_then_write,
    "missing-tenant-filter": missing_tenant_filter,
    "poison": poison,
}


def main(bug: str) -> int:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lexicon.settings")
    django.setup()
    name, _, percent = bug.partition("-")
    if name == "drop" and percent.isdecimal():
        drop(float(percent))
    else:
        BUGS[bug]()
    connection.close()
    from lexicon import serve

    return serve.main([])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
