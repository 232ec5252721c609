"""`make hostile`: what does a stranger's attack cost those who did nothing?

    python -m tests.hostile [--quick] [--only NAMES] [--on INSTALLATIONS] [--seed N]

First the bystanders are tested: they must notice a server that is stopped for a second, and a process that grows. Then
each attack (docs/hostile.md has the list) is put to installations of its own, beside a control run with as many
harmless bytes. The exit code is 1 where anybody else had to wait, was refused or cut, where the processes came to hold
too much, or where something that an attack requires does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.campaign.beginning import own_folder, seeded

if TYPE_CHECKING:
    from tests.hostile.stage import Row, Stage

#: Sockets of an attacker and of the servers.
FILES = 16_384


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description="The hostile suite.")
    parser.add_argument("--quick", action="store_true", help="the short form that is part of `make test`")
    parser.add_argument(
        "--only",
        default="",
        help="these alone, by fault or name: H3,garbage; `self` is the test of the bystanders, `schema` schemathesis",
    )
    parser.add_argument("--on", default="", help="on these alone: sqlite, sqlite-nginx, workers, workers-nginx")
    parser.add_argument("--seed", type=int, default=None, help="of what is chosen by chance")
    arguments = parser.parse_args()
    seed = seeded(arguments.seed)
    only, on = ([name.strip() for name in given.split(",") if name.strip()] for given in (arguments.only, arguments.on))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))
    folder = own_folder("hostile")
    print(f"=== Hostile{', quick' if arguments.quick else ''} (seed {seed}) ===", flush=True)
    began = time.monotonic()
    passed = asyncio.run(_run(folder, arguments.quick, only, on, seed))
    print(f"\n{'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s (seed {seed})")
    if passed:
        shutil.rmtree(folder)
    else:
        print(f"The logs are in {folder}")
    return 0 if passed else 1


async def _run(folder: Path, quick: bool, only: list[str], on: list[str], seed: int) -> bool:
    from tests.__main__ import postgresql
    from tests.campaign.cluster import start_model
    from tests.campaign.database import Databases
    from tests.campaign.programs import missing
    from tests.hostile import selftest
    from tests.hostile.cast import make_cast
    from tests.hostile.stage import Stage, print_table

    # Told to stop, it leaves nothing running either.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    chosen = _chosen(quick, only, on)
    server, problem = None, ""
    if any(site != "sqlite" for _, site in chosen):
        server, problem = postgresql()
        if server is None or missing():
            print(f"What this needs is not here: {problem or ', '.join(missing())}")
            return False
    with ExitStack() as stack:
        databases = Databases(folder, server)
        stack.callback(databases.close)
        await asyncio.to_thread(databases.make)
        casts = {template.on_sqlite: await template.run(make_cast) for template in databases.templates}
        stage = Stage(folder, databases, start_model(stack, folder), casts, seed, quick)
        stack.callback(stage.close)
        if not only or "self" in only:
            print("\nThe bystanders", flush=True)
            installation = await stage.new_installation("sqlite")
            stack.callback(installation.close)
            if not await selftest.run(installation):
                return False
            if quick:
                stage.share(installation)
            else:
                installation.close()
        print(flush=True)
        rows = await _attack(stage, chosen)
        passed = all(row.passed for row in rows)
        if rows:
            print_table(rows)
        if "schema" in only or not (quick or only):
            passed = await _schema(seed) and passed
        return passed


def _chosen(quick: bool, only: list[str], on: list[str]) -> list[tuple[Any, str]]:
    """Attacks and the installations that they are put to, in the order of their faults."""
    from tests.hostile.strike import EVERYWHERE, attacks

    known = attacks()
    faults = {attack.fault for attack in known.values()}
    if unknown := {name for name in only if name not in known and name not in faults | {"self", "schema"}}:
        raise SystemExit(f"There is no {', '.join(sorted(unknown))}; there are {', '.join([*sorted(faults), *known])}")
    if unknown := set(on) - set(EVERYWHERE):
        raise SystemExit(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(EVERYWHERE)}")
    chosen = []
    for attack in sorted(known.values(), key=lambda attack: attack.fault):
        if (only and not {attack.name, attack.fault} & set(only)) or (quick and not only and not attack.quick):
            continue
        sites = ["sqlite"] if quick and not on else [site for site in attack.on if not on or site in on]
        # What is asked for by name is put to whatever is asked for.
        chosen += [(attack, site) for site in (on if on and attack.name in only else sites)]
    if not chosen and not set(only) & {"self", "schema"}:
        raise SystemExit("None of these attacks is put to these installations")
    return chosen


async def _attack(stage: Stage, chosen: list[tuple[Any, str]]) -> list[Row]:
    from tests.hostile.stage import print_row

    rows = []
    for attack, site in chosen:
        rows.append(await stage.put(attack, site))
        print_row(rows[-1])
    return rows


async def _schema(seed: int) -> bool:
    """Whether schemathesis found nothing, on a server of its own (tests/hostile/schema.py)."""
    print("\nSchemathesis", flush=True)
    command = [sys.executable, "-m", "tests.hostile.schema", "--seed", str(seed)]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
