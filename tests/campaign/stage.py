"""One fault after the other: what each is given, how it is judged, and the table in the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaign.checker import Verdict, check
from tests.campaign.clients import Talker
from tests.campaign.cluster import Cluster, Model
from tests.campaign.database import Database, Databases
from tests.campaign.history import History
from tests.campaign.load import leave_all, settle
from tests.support.actors import Actor


@dataclass
class Result:
    """What one fault did."""

    fault: str
    verdict: Verdict
    recovered_in: float | None
    notes: list[str]
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.verdict.violations


@dataclass
class Stage:
    """What a scenario works with; it fails by `require`, by the checker's word, or by an exception."""

    fault: str
    folder: Path
    quick: bool
    cluster: Cluster
    databases: Databases
    model: Model
    history: History
    #: What is closed once the scenario was judged.
    closing: contextlib.AsyncExitStack
    actors: list[Actor] = field(default_factory=list)
    talkers: list[Talker] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    recovered_in: float | None = None
    #: The messages on whose replies the scenario silenced two owners within 60 seconds.
    silenced: set[str] = field(default_factory=set)

    @property
    def database(self) -> Database:
        return self.cluster.database

    async def new_actor(self, name: str = "Acme", **policy: Any) -> Actor:
        actor = await self.cluster.new_actor(name, **policy)
        self.actors.append(actor)
        return actor

    def talker(self, name: str, actor: Actor, chat: str, **options: Any) -> Talker:
        """A client that connects now and is told to leave in the end."""
        talker = Talker(self.history, name, actor, chat, **options).start()
        self.talkers.append(talker)
        return talker

    def require(self, condition: object, text: str) -> None:
        """A figure that must hold."""
        if not condition:
            self.problems.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    async def within(self, seconds: float, text: str, condition: Callable[[], Awaitable[object]]) -> float:
        """How long it took until something was so; a problem where it was not in time."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if await condition():
                break
            await asyncio.sleep(0.05)
        else:
            self.problems.append(f"{text}: not within {seconds:.0f} s")
        return time.monotonic() - began

    async def judge(self) -> Verdict:
        """Let everything settle, and check it."""
        if self.talkers:
            if not await settle(self.history, self.database, self.actors, self.talkers):
                self.problems.append("not everybody was told everything within a minute")
            await leave_all(self.talkers)
        calls = Counter(call["question"] for call in (await self.model.report())["calls"])
        stored = await self.database.dump(self.actors)
        verdict = check(self.history.lines, stored, calls=calls, silenced=self.silenced)
        for problem in self.problems:
            verdict.add("figure", problem)
        return verdict


Scenario = Callable[[Stage], Awaitable[None]]

#: What puts each fault to the service, whether the short form has it, and whether it makes its own cluster.
_scenarios: dict[str, tuple[Scenario, bool, bool]] = {}


def scenario(fault: str, *, quick: bool = False, own: bool = False) -> Callable[[Scenario], Scenario]:
    """Register what puts a fault to the service; `own`: it makes the cluster it works on (`stage.cluster = …`)."""

    def register(run: Scenario) -> Scenario:
        _scenarios[fault] = (run, quick, own)
        return run

    return register


class Campaign:
    """All scenarios, on one cluster where they can share it."""

    def __init__(self, folder: Path, databases: Databases, model: Model, *, quick: bool) -> None:
        self._folder = folder
        self._databases = databases
        self._model = model
        self._quick = quick
        self._shared: Cluster | None = None

    async def run(self, only: list[str]) -> list[Result]:
        from tests.campaign import scenarios

        scenarios.load()
        chosen = [
            name for name, (_, quick, _) in _scenarios.items() if name in only or (not only and quick >= self._quick)
        ]
        chosen.sort(key=lambda name: (int("".join(filter(str.isdigit, name))), name))
        if unknown := set(only) - _scenarios.keys() - {"self"}:
            raise SystemExit(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(_scenarios)}")
        results = []
        for fault in chosen:
            results.append(await self._one(fault))
            result = results[-1]
            print(f"{fault:4} {'ok' if result.passed else 'FAILED'} in {result.seconds:.0f} s", flush=True)
            for violation in result.verdict.violations[:20]:
                print(f"     {violation.kind}: {violation.text}", flush=True)
        return results

    async def _one(self, fault: str) -> Result:
        run, _, own = _scenarios[fault]
        began = time.monotonic()
        folder = self._folder / fault
        folder.mkdir()
        folder.chmod(0o755)
        history = History(folder / "history.jsonl")
        await self._model.forget()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(history.close)
            cluster = Cluster(folder, Database(""), self._model) if own else await self._cluster()
            errors = _errors(cluster)
            stage = Stage(fault, folder, self._quick, cluster, self._databases, self._model, history, stack)
            try:
                await run(stage)
            except Exception as error:
                traceback.print_exc()
                stage.problems.append(f"the scenario did not end: {type(error).__name__} {error}")
            try:
                verdict = await stage.judge()
            except Exception as error:
                # What it stands on may be gone.
                verdict = Verdict()
                verdict.add("figure", f"it can not be judged: {type(error).__name__} {error}; {stage.problems}")
                await leave_all(stage.talkers)
            if logged := _errors(stage.cluster) - errors:
                stage.note(f"{logged.total()} errors logged")
                print(*(f"     logged: {line}" for line in logged), sep="\n", flush=True)
            if own:
                # Before what it stands on.
                stage.cluster.close()
            else:
                await cluster.repair()
        return Result(fault, verdict, stage.recovered_in, stage.notes, time.monotonic() - began)

    async def _cluster(self) -> Cluster:
        if self._shared is None:
            folder = self._folder / "shared"
            folder.mkdir()
            cluster = Cluster(folder, self._databases.new(on_sqlite=False), self._model).with_redis()
            self._shared = cluster
            for _ in range(2):
                cluster.add_replica()
            await cluster.start()
            cluster.with_nginx()
        return self._shared

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()


def _errors(cluster: Cluster) -> Counter[str]:
    return Counter(line for replica in cluster.replicas for line in replica.errors)


def print_table(results: list[Result]) -> None:
    """What docs/faults.md explains, column by column."""
    names = f"{'fault':5} {'acked':>6} {'lost':>5} {'doubled':>8} {'whole':>9} {'abandoned':>9} {'recovered in':>13}"
    print(f"\n{names}  notes")
    for result in results:
        verdict = result.verdict
        whole = f"{verdict.whole}/{verdict.owed}"
        back = f"{result.recovered_in:.1f} s" if result.recovered_in is not None else ""
        notes = "; ".join([*result.notes, *(["FAILED"] if not result.passed else [])])
        print(
            f"{result.fault:5} {verdict.acknowledged:>6} {verdict.count('lost'):>5} {verdict.count('duplicated'):>8} "
            f"{whole:>9} {verdict.abandoned:>9} {back:>13}  {notes}"
        )
