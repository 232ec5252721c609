"""Do the bystanders notice anything? A server that is stopped for a second, and a process that grows by 100 MiB."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

from tests.hostile.figures import MOST_SILENCE, WAITS, Figures, excess
from tests.hostile.installation import Installation
from tests.hostile.programs import Bystanders

#: What was seen, and whether that is what happened.
Seen = tuple[Figures, Callable[[Figures], bool]]

FROZEN = 1.0
GROWN = 100 * 2**20
#: Grows at the first line it is given, leaves a file without a name at the second, and starts a child at the third.
GROWING = f"""
import subprocess, sys, tempfile
print("ready", flush=True)
sys.stdin.readline()
grown = bytearray({GROWN})
print("grown", flush=True)
sys.stdin.readline()
file = tempfile.TemporaryFile()
file.truncate({GROWN})
print("written", flush=True)
sys.stdin.readline()
child = "import sys; grown = bytearray({GROWN}); print('started', flush=True); sys.stdin.read()"
with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE) as started:
    sys.stdin.readline()
    started.stdin.close()
"""


async def run(installation: Installation) -> bool:
    """Whether everything was noticed, and nothing where there was nothing. Prints what was."""
    found: dict[str, Seen] = {
        "nothing, for two seconds": (await _quiet(installation), lambda seen: seen.is_quiet),
        "a server that is stopped for a second": (await _frozen(installation), _noticed_silence),
        **await _grown(installation),
        "a server that is killed": (await _killed(installation), lambda seen: bool(seen.problems)),
    }
    for name, (seen, noticed) in found.items():
        longest = max(seen.silences.values())
        told = f"silent for {longest:.2f} s, {seen.memory >> 20} MiB, {seen.children >> 20} MiB in children"
        print(f"  {name:42} {'ok' if noticed(seen) else 'NOT AS IT IS'}: {told}", flush=True)
    return all(noticed(seen) for seen, noticed in found.values())


def _noticed_silence(seen: Figures) -> bool:
    quiet = Figures(dict.fromkeys(WAITS, 0.1))
    # Nobody waits for a token at every moment, nor for an acknowledgement.
    frozen = [name for name in ("healthz", "pong") if seen.silences[name] > FROZEN - 0.2]
    return len(frozen) == 2 and bool(excess(seen, quiet)) and max(seen.silences.values()) > MOST_SILENCE


async def _quiet(installation: Installation) -> Figures:
    bystanders = await Bystanders.at(installation.watched)
    try:
        await bystanders.begin()
        await asyncio.sleep(2)
        return await bystanders.end()
    finally:
        await bystanders.close()


async def _frozen(installation: Installation) -> Figures:
    bystanders = await Bystanders.at(installation.watched)
    server = installation.cluster.replicas[0]
    try:
        await bystanders.begin()
        server.signal(signal.SIGSTOP)
        await asyncio.sleep(FROZEN)
        server.signal(signal.SIGCONT)
        return await bystanders.end()
    finally:
        server.signal(signal.SIGCONT)
        await bystanders.close()


async def _grown(installation: Installation) -> dict[str, Seen]:
    """A process that stands for one of the server's: what it comes to hold, one thing after the other."""
    pipe = asyncio.subprocess.PIPE
    temporary = installation.watched.temporary
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", GROWING), stdin=pipe, stdout=pipe, env={"TMPDIR": temporary}
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    bystanders = await Bystanders.at(replace(installation.watched, pids=[process.pid]))
    seen = []
    try:
        for _ in range(3):
            await bystanders.begin()
            process.stdin.write(b"\n")
            await process.stdout.readline()
            await asyncio.sleep(1)
            seen.append(await bystanders.end())
    finally:
        await bystanders.close()
        process.stdin.close()
        await process.wait()
    return {
        "a process that grows by 100 MiB": (seen[0], lambda seen: seen.memory > 0.9 * GROWN),
        "a temporary file of 100 MiB": (seen[1], lambda seen: seen.memory > 0.9 * GROWN),
        "a child of 100 MiB": (seen[2], lambda seen: seen.children > 0.9 * GROWN),
    }


async def _killed(installation: Installation) -> Figures:
    bystanders = await Bystanders.at(installation.watched)
    try:
        await bystanders.begin()
        server = installation.cluster.replicas[0]
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.start)
        return await bystanders.end()
    finally:
        await bystanders.close()
