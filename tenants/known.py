"""Is there such a key, or such a session, without a statement for each who asks?

Keys are checked where they are used (tenants/authentication.py), by a statement of their own. This stands before, so
that a million keys that somebody made up cost some statements and not a million: one statement asks for all that
wait, some times a second, and a name that was found needs no asking for a while. Whatever is found here opens nothing.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone

from core.db.executor import in_thread
from core.errors import unavailable
from tenants.models import ApiKey

Name = TypeVar("Name", bound=Hashable)

#: Seconds between two statements.
ASKED_EVERY = 0.2
#: Names that may wait for the next one: as many as a process can read in that time, and not too many for a statement.
MOST_WAITING = 500
#: Names that are kept of each: found, and not found.
MOST_KEPT = 10_000
#: Seconds for which a name that was not found may be taken for one that is not there.
ABSENT_SECONDS = 10.0


class Known(Generic[Name]):
    """The names that `find` finds among those it is given. Belongs to one event loop."""

    def __init__(
        self,
        find: Callable[[Collection[Name]], set[Name]],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._seconds = seconds
        self._clock = clock
        #: When each name was found, or not found, the oldest first.
        self._found: OrderedDict[Name, float] = OrderedDict()
        self._absent: OrderedDict[Name, float] = OrderedDict()
        self._waiting: dict[Name, asyncio.Future[bool]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._ask_again = float("-inf")

    def __contains__(self, name: Name) -> bool:
        """Whether it was found, a while ago at most."""
        return self._clock() - self._found.get(name, float("-inf")) < self._seconds

    def is_absent(self, name: Name) -> bool:
        """Whether it was not found, a moment ago."""
        return self._clock() - self._absent.get(name, float("-inf")) < ABSENT_SECONDS

    def forget(self, name: Name) -> None:
        """It opened nothing: next time it is asked for."""
        self._found.pop(name, None)

    async def ask(self, name: Name) -> bool:
        """Whether it is there. Raises ApiError SERVICE_UNAVAILABLE where the database, or the queue, is too busy."""
        if name in self:
            return True
        loop = asyncio.get_running_loop()
        if self._asking is not None and self._asking.get_loop() is not loop:
            self._asking, self._waiting = None, {}
        answer = self._waiting.get(name)
        if answer is None:
            if len(self._waiting) >= MOST_WAITING:
                raise unavailable()
            answer = self._waiting[name] = loop.create_future()
            if self._asking is None:
                self._asking = loop.create_task(self._answer(), name="who is known")
        # Others may wait for the same answer when this caller gives up.
        return await asyncio.shield(answer)

    async def _answer(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(self._ask_again - self._clock())
                self._ask_again = self._clock() + ASKED_EVERY
                asked, self._waiting = self._waiting, {}
                try:
                    found = await in_thread(self._find, asked.keys())
                except Exception as error:
                    for answer in asked.values():
                        answer.set_exception(error)
                        answer.exception()  # The callers may be gone.
                    continue
                for name, answer in asked.items():
                    _keep(self._found if name in found else self._absent, name, self._clock())
                    answer.set_result(name in found)
        finally:
            self._asking = None


def _keep(names: OrderedDict[Name, float], name: Name, now: float) -> None:
    names.pop(name, None)
    names[name] = now
    if len(names) > MOST_KEPT:
        names.popitem(last=False)


def _find_live_keys(names: Collection[str | uuid.UUID]) -> set[str | uuid.UUID]:
    ids = [name for name in names if isinstance(name, uuid.UUID)]
    digests = [name for name in names if isinstance(name, str)]
    live = ApiKey.objects.all_tenants().filter(revoked_at=None, tenant__is_active=True)
    live = live.exclude(expires_at__lte=timezone.now()).order_by()
    found: set[str | uuid.UUID] = set()
    for key_id, digest in live.filter(Q(id__in=ids) | Q(digest__in=digests)).values_list("id", "digest"):
        found |= {key_id, digest}
    return found


def _find_sessions(names: Collection[str]) -> set[str]:
    sessions = Session.objects.filter(session_key__in=list(names), expire_date__gt=timezone.now())
    return set(sessions.values_list("session_key", flat=True))


#: Live keys, by their digest or, where a chat token names one, by their id.
live_keys: Known[str | uuid.UUID] = Known(_find_live_keys, seconds=3600.0)
#: Sessions of staff: nobody else has one.
sessions: Known[str] = Known(_find_sessions, seconds=60.0)
