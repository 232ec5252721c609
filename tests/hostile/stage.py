"""One attack after the other: its control run, itself, and the table in the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
import traceback
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.campaign.cluster import Model
from tests.campaign.database import Databases
from tests.hostile.attacker import LEEWAY
from tests.hostile.figures import WAITS, Figures, excess, mib
from tests.hostile.installation import TIMERS, Installation
from tests.hostile.programs import Bystanders, Program
from tests.hostile.strike import Order, Registered

T = TypeVar("T", bound=Program)

#: The least that a run lasts, in seconds: each bystander has asked more than once by then.
LEAST = 1.5
#: A silence of so many seconds under attack is no busy machine's: it is not measured again.
CERTAIN = 2.0
#: Longest notes of a row, in characters.
MOST_NOTES = 100
#: How much longer than it may an attacker takes that hears no signal, in seconds.
UNSTOPPABLE = 20.0


@dataclass
class Row:
    """What one attack cost one installation."""

    attack: Registered
    site: str
    control: Figures
    figures: Figures
    problems: list[str]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problems


class Stage:
    """What all attacks share: the databases, the model, and in the short form the installation."""

    def __init__(
        self,
        folder: Path,
        databases: Databases,
        model: Model,
        casts: dict[bool, dict[str, Any]],
        seed: int,
        quick: bool,
    ) -> None:
        self._folder = folder
        self._databases = databases
        self._model = model
        #: Who is there, on SQLite and elsewhere.
        self._casts = casts
        self._seed = seed
        self._quick = quick
        self._shared: Installation | None = None
        self._numbers = itertools.count()
        #: Each run comes from another network, so that none meets the bounds that one before has reached.
        self._networks = itertools.cycle(range(2, 255))

    async def new_installation(self, site: str, *, files: int = 0) -> Installation:
        folder = self._folder / f"{next(self._numbers)}-{site}"
        cast = self._casts[site.startswith("sqlite")]
        installation = Installation(site, folder, self._databases, self._model, cast, files=files)
        try:
            return await installation.start()
        except BaseException:
            installation.close()
            raise

    def share(self, installation: Installation) -> None:
        """Have the short form's attacks put to this one."""
        self._shared = installation

    async def put(self, attack: Registered, site: str) -> Row:
        """An attack and its control run; both once more where the figures may be the machine's own."""
        began = time.monotonic()
        row = await self._try(attack, site)
        longest = max(row.figures.silences.values())
        if not row.control.is_quiet or (not row.passed and longest < CERTAIN):
            again = await self._try(attack, site)
            again.notes.append("second try")
            # What the attack does it does twice.
            row = min(row, again, key=lambda one: (not one.control.is_quiet, len(one.problems)))
        row.seconds = time.monotonic() - began
        return row

    async def _try(self, attack: Registered, site: str) -> Row:
        """An attack and its control run; where the harness itself fails, a row that says so."""
        try:
            return await self._once(attack, site)
        except Exception as error:
            with (self._folder / "harness.log").open("a") as log:
                traceback.print_exc(file=log)
            unseen = Figures(dict.fromkeys(WAITS, 0.0))
            return Row(attack, site, unseen, unseen, [f"not measured: {type(error).__name__} {error}"[:160]])

    async def _once(self, attack: Registered, site: str) -> Row:
        shares = self._quick and not attack.files
        if shares and self._shared is not None and self._shared.is_alive:
            installation = self._shared
        else:
            installation = await self.new_installation(site, files=attack.files)
        if shares:
            self._shared = installation
        passed = False
        try:
            logged = set(installation.errors)
            async with contextlib.AsyncExitStack() as stack:
                # Each is closed in the end, also where another does not start.
                bystanders, control_attacker, attacker = await asyncio.gather(
                    self._enter(stack, Bystanders.at(installation.watched)),
                    self._enter(stack, self._attacker(installation, attack, harmless=True)),
                    self._enter(stack, self._attacker(installation, attack, harmless=False)),
                )
                control, beside = await self._run(bystanders, control_attacker, attack)
                figures, found = await self._run(bystanders, attacker, attack)
            problems = excess(figures, control) + found["problems"][:5]
            problems += [f"without the attack: {problem}" for problem in control.problems + beside["problems"]]
            if not installation.is_alive:
                problems.append("a process has ended")
            problems += [f"logged: {error}"[:160] for error in installation.errors if error not in logged][:3]
            passed = not problems
            return Row(attack, site, control, figures, problems, found["notes"])
        finally:
            if not (shares and passed):
                # What an attack has done to it is not the next one's.
                installation.close()
                self._shared = None if shares else self._shared

    @staticmethod
    async def _enter(stack: contextlib.AsyncExitStack, starting: Awaitable[T]) -> T:
        program = await starting
        stack.push_async_callback(program.close)
        return program

    async def _attacker(self, installation: Installation, attack: Registered, *, harmless: bool) -> Program:
        order = Order(
            attack.name,
            harmless,
            installation.ports,
            installation.is_behind_nginx,
            next(self._networks),
            self._seed,
            installation.cast,
            TIMERS,
        )
        return await Program.start("tests.hostile.attacker", asdict(order))

    async def _run(
        self, bystanders: Bystanders, attacker: Program, attack: Registered
    ) -> tuple[Figures, dict[str, Any]]:
        """One run: what bystanders saw, and what the attacker found."""
        await bystanders.begin()
        began = time.monotonic()
        await attacker.tell("go")
        found: dict[str, Any] = {"problems": [], "notes": []}
        try:
            found = json.loads(await attacker.hear(attack.seconds + LEEWAY + UNSTOPPABLE))
        except TimeoutError:
            found["problems"].append("it was killed: what it requires was not looked at")
        await attacker.close()
        await asyncio.sleep(max(0.2, LEAST - (time.monotonic() - began)))
        return await bystanders.end(), found

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()


def print_row(row: Row) -> None:
    """What came of one, as soon as it is known."""
    verdict = "ok" if row.passed else "FAILED"
    print(f"{row.attack.fault:6} {row.attack.name}, {row.site}: {verdict} in {row.seconds:.0f} s", flush=True)
    for problem in row.problems:
        print(f"       {problem}", flush=True)


def print_table(rows: list[Row]) -> None:
    """What docs/hostile.md explains, column by column."""
    columns = "".join(f"{name:>13}" for name in WAITS)
    print(f"\n{'fault':6} {'attack':36} {'installation':13}{columns}{'memory':>12} {'child':>6}  notes")
    for row in rows:
        waits = "".join(f"{f'{row.figures.silences[name]:.2f}/{row.control.silences[name]:.2f}':>13}" for name in WAITS)
        memory = f"{mib(row.figures.memory)}/{mib(row.control.memory)}"
        child = str(mib(row.figures.children)) if row.figures.children else ""
        notes = "; ".join([*([] if row.passed else ["FAILED"]), *row.notes])[:MOST_NOTES]
        print(f"{row.attack.fault:6} {row.attack.name:36} {row.site:13}{waits}{memory:>12} {child:>6}  {notes}")
    failed = [row for row in rows if not row.passed]
    longest = max((max(row.figures.silences.values()) for row in rows), default=0.0)
    print(
        f"\n{len(rows)} attacks: {len(rows) - len(failed)} cost nobody else anything, {len(failed)} did; "
        f"the longest silence {longest:.1f} s. Each figure / without the attack; seconds, MiB."
    )
