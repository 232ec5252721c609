"""A program of the harness as its parent sees it: told a line, and asked for one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import asdict
from typing import Any, Self

from tests.hostile.figures import Figures
from tests.hostile.watch import PATIENCE, Watched
from tests.support.forkserver import ROOT

#: How long a program may take to start, and to do what takes it longest, beyond that, in seconds.
LEEWAY = 30.0


class Program:
    """A process that speaks in lines."""

    def __init__(self, process: asyncio.subprocess.Process, module: str) -> None:
        self._process = process
        self.module = module

    @classmethod
    async def start(cls, module: str, given: Any) -> Self:
        """`python -m <module> <given as JSON>`, once it says that it is ready. Raises RuntimeError where it ends."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, json.dumps(given)), cwd=ROOT, stdin=pipe, stdout=pipe, limit=2**20
        )
        program = cls(process, module)
        try:
            told = await program.hear(LEEWAY)
            if told != "ready":
                raise RuntimeError(f"{module} says {told!r}")
        except BaseException:
            await program.close()
            raise
        return program

    async def tell(self, line: str) -> None:
        """Give it a line. Where it has ended, the next `hear` says so."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def hear(self, seconds: float) -> str:
        """Its next line. Raises RuntimeError where it has ended, TimeoutError where it says nothing for so long."""
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            line = (await self._process.stdout.readline()).decode().strip()
            if not line:
                raise RuntimeError(f"{self.module} ended with {await self._process.wait()}")
        return line

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Bystanders(Program):
    """Those who watch (tests/hostile/watch.py)."""

    @classmethod
    async def at(cls, watched: Watched) -> Bystanders:
        return await cls.start("tests.hostile.watch", asdict(watched))

    async def begin(self) -> None:
        await self.tell("begin")
        await self.hear(LEEWAY)

    async def end(self) -> Figures:
        """What they saw since."""
        await self.tell("end")
        return Figures(**json.loads(await self.hear(PATIENCE + LEEWAY)))
