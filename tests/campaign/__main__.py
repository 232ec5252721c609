"""`make faults`: what does the service lose, double or mix up when its parts die, hang, or lie?

    python -m tests.campaign [--quick] [--only F2,F4] [--seed N]

First the checker is tested: it must find six seeded bugs. Then each fault (docs/faults.md has the list) is put to
real processes under load, and the checker reads what every client saw and what is stored. The exit code is 1 where
anything was lost, doubled, mixed up or not there in time.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.campaign.beginning import own_folder, seeded


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description="The fault suite.")
    parser.add_argument("--quick", action="store_true", help="the short form that is part of `make test`")
    parser.add_argument("--only", default="", help="these alone: F2,F4; `self` is the test of the checker")
    parser.add_argument("--seed", type=int, default=None, help="of what is chosen by chance")
    arguments = parser.parse_args()
    seed = seeded(arguments.seed)
    only = [name.strip() for name in arguments.only.split(",") if name.strip()]
    folder = own_folder("campaign")
    print(f"=== Faults{', quick' if arguments.quick else ''} (seed {seed}) ===", flush=True)
    began = time.monotonic()
    passed = asyncio.run(_run(folder, arguments.quick, only))
    print(f"\n{'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s (seed {seed})")
    if passed:
        shutil.rmtree(folder)
    else:
        print(f"The histories and logs are in {folder}")
    return 0 if passed else 1


async def _run(folder: Path, quick: bool, only: list[str]) -> bool:
    from tests.__main__ import postgresql
    from tests.campaign import selftest
    from tests.campaign.cluster import start_model
    from tests.campaign.database import Databases
    from tests.campaign.programs import missing
    from tests.campaign.stage import Campaign, print_table

    # Told to stop, it leaves nothing running either.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    server, problem = postgresql()
    if server is None or missing():
        print(f"What this needs is not here: {problem or ', '.join(missing())}")
        return False
    with ExitStack() as stack:
        databases = Databases(folder, server)
        stack.callback(databases.close)
        await asyncio.to_thread(databases.make)
        model = start_model(stack, folder)
        passed = True
        if not only or "self" in only:
            print("\nThe checker", flush=True)
            passed = await selftest.run(folder, databases, model)
        campaign = Campaign(folder, databases, model, quick=quick)
        stack.callback(campaign.close)
        results = await campaign.run(only)
        print_table(results)
        return passed and all(result.passed for result in results)


if __name__ == "__main__":
    sys.exit(main())
