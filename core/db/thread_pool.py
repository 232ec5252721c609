"""In which thread does a short unit of blocking work run?

In one and the same, as long as that gets on: threads that work at a time hand Python's lock to each other at every
statement. A question with its reply took half as much processor time again with eight of them (`make bench
ARGS="relay 20 1 10"`), and the event loop hardly got it: with eight at work `/readyz` took 0.3 to 0.8 s in F33 of
`make faults`, with three 0.15. Another one joins in where all that work have been at one unit for SLOW seconds, longer
the more there are, so that a statement that takes long holds up nobody else, and up to FEW where units wait for LATE
seconds before they are begun.

Units wait in lanes, a tenant's in one of its own, and the lanes take turns: a tenant that gives a hundred at once waits
for them, and nobody else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

#: Longer than units take that only compute: a message is stored in a millisecond or two.
SLOW = 0.005
#: Longer than a burst of questions takes one thread.
LATE = 0.05
#: Threads that are worth their while where nobody waits for the database: it has processors of its own.
FEW = 3


class _Unit:
    """Something to do, and who waits for what it answers."""

    __slots__ = ("answer", "call", "failure", "future", "given_at")

    def __init__(self, call: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.call = call
        self.future = future
        self.given_at = time.monotonic()
        self.answer: Any = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Do it, unless nobody waits any more."""
        if self.future.cancelled():
            return
        try:
            self.answer = self.call()
        except BaseException as failure:
            self.failure = failure

    def tell(self) -> None:
        """Tell who waits what it answered or raised."""
        # Where the event loop is closed, nobody waits.
        with contextlib.suppress(RuntimeError):
            self.future.get_loop().call_soon_threadsafe(_settle, self.future, self.answer, self.failure)
        # A failure holds the frames that it came through, and they hold this unit.
        del self.answer, self.failure, self.future, self.call


def _settle(future: asyncio.Future[Any], answer: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(answer)


class _Lanes:
    """Units that wait: those of a lane in the order they came, one of each lane after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The lane whose turn is next stands first.
        self._lanes: OrderedDict[str, deque[_Unit]] = OrderedDict()
        #: A word for each unit; None for the end of one who waits.
        self._words: SimpleQueue[bool | None] = SimpleQueue()

    def put(self, unit: _Unit, lane: str) -> None:
        with self._lock:
            self._lanes.setdefault(lane, deque()).append(unit)
        self._words.put(True)

    def end_one(self) -> None:
        """Tell one who waits, after all units that wait now, that no more come."""
        self._words.put(None)

    def get(self, *, block: bool) -> _Unit | None:
        """The next one; None for the end. Raises Empty where there is none and `block` is not set."""
        if self._words.get(block) is None:
            return None
        with self._lock:
            lane, units = self._lanes.popitem(last=False)
            unit = units.popleft()
            if units:
                self._lanes[lane] = units
        return unit

    def empty(self) -> bool:
        return self._words.empty()

    def are_full(self, most: int, lane: str) -> bool:
        """Whether so many wait, and of this lane no fewer than its share."""
        count = self._words.qsize()
        if count < most:
            return False
        with self._lock:
            return len(self._lanes.get(lane, ())) * len(self._lanes) >= count


class _Worker:
    """A thread of the pool."""

    def __init__(self, units: _Lanes, name: str) -> None:
        self._units = units
        #: When it began what it is at, on the monotonic clock; None while it waits.
        self.began: float | None = None
        #: How many seconds that had waited.
        self.waited = 0.0
        #: A word for each time it should join in; None for the end.
        self.calls: SimpleQueue[bool | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def join_in(self) -> None:
        """Work until nothing is left to do."""
        self.began = time.monotonic()
        self.calls.put(True)

    def _work(self) -> None:
        while self.calls.get():
            self._work_off()

    def _begin(self, unit: _Unit) -> None:
        self.began = time.monotonic()
        self.waited = self.began - unit.given_at

    def _work_off(self) -> None:
        try:
            while (unit := self._units.get(block=False)) is not None:
                self._begin(unit)
                unit.run()
                unit.tell()
                # What it holds would live until the next one comes.
                del unit
        except Empty:
            pass
        self.began = None


class _First(_Worker):
    """The one that always works."""

    def _work(self) -> None:
        while (unit := self._units.get(block=True)) is not None:
            self._begin(unit)
            unit.run()
            # Before anybody can come with the next one.
            self.began = None
            unit.tell()
            del unit


class ThreadPool:
    """At most `threads` of them, started when they are first needed. Units of a lane begin in the order they came."""

    def __init__(self, threads: int, name: str) -> None:
        self._most = threads
        self._name = name
        self._units = _Lanes()
        self._workers: list[_Worker] = []
        #: The event loop that is about to look whether another one should join in.
        self._looking: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def is_full(self, most: int, *, lane: str = "") -> bool:
        """Whether so many units wait to be begun, and those of this lane are at least its share of them."""
        return self._units.are_full(most, lane)

    async def run(self, call: Callable[[], Any], *, lane: str = "") -> Any:
        """What `call` answers, run in a thread, after what waits in its lane.

        Cancelling the caller does not stop a unit that has begun.

        Raises RuntimeError where the pool is closed.
        """
        if self._closed:
            raise RuntimeError("the pool of threads is closed")
        loop = asyncio.get_running_loop()
        if not self._workers:
            self._workers.append(_First(self._units, f"{self._name}_0"))
        answered = loop.create_future()
        self._units.put(_Unit(call, answered), lane)
        self._help_where_slow()
        self._look_soon(loop)
        try:
            return await answered
        finally:
            # It holds a failure, which holds this frame.
            del answered

    def close(self) -> None:
        """Take no more units, and return when those that were given are done and the threads have ended."""
        self._closed = True
        for worker in self._workers:
            worker.calls.put(None)
        for _ in self._workers:
            self._units.end_one()
        for worker in self._workers:
            worker.thread.join()

    def _help_where_slow(self) -> None:
        """Have another one join in if all that work have been at it for long, or came to it late."""
        first, *others = (worker.began for worker in self._workers)
        if first is None:
            return
        working = [first, *(began for began in others if began is not None)]
        if len(working) == self._most:
            return
        at_work = len(working)
        # Each holds up the others, so that the more there are the less it tells that a unit takes long.
        are_slow = time.monotonic() - max(working) >= SLOW * at_work**2
        if are_slow or (at_work < FEW and self._workers[0].waited >= LATE):
            # Where the system gives no more threads, those that there are have to do.
            with contextlib.suppress(RuntimeError):
                self._idle_worker().join_in()

    def _look_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look whether the units that wait by then need help: the threads at work now may turn out to be slow."""
        # One that was closed meanwhile does not look.
        if self._looking is not loop:
            self._looking = loop
            loop.call_later(SLOW, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = None
        if not self._units.empty():
            self._help_where_slow()
            self._look_soon(loop)

    def _idle_worker(self) -> _Worker:
        for worker in self._workers[1:]:
            if worker.began is None:
                return worker
        worker = _Worker(self._units, f"{self._name}_{len(self._workers)}")
        self._workers.append(worker)
        return worker
