"""What CPU does a delta cost that a model sends? `make bench ARGS="deltas [tokens]"`.

One reply of some thousand tokens (3000), one each millisecond, read over loopback by Lexicon's backends, by the
official SDKs, and by hand with httpx and json; each in a process of its own, on uvloop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from importlib import import_module

import uvloop

from benchmarks import upstream
from benchmarks.places import PEERS_PYTHON, ROOT

Reader = Callable[[str, str], AsyncIterator[str]]


async def openai_backend(url: str, question: str) -> AsyncIterator[str]:
    """What Lexicon's backend for OpenAI's wire hears."""
    async for text in _hear("openai:bench", url, question):
        yield text


async def anthropic_backend(url: str, question: str) -> AsyncIterator[str]:
    """What Lexicon's backend for Anthropic's wire hears."""
    async for text in _hear("anthropic:bench", url, question):
        yield text


async def _hear(model: str, url: str, question: str) -> AsyncIterator[str]:
    addresses = {"OPENAI_BASE_URL": f"{url}/v1", "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none"}
    os.environ |= {"DJANGO_SETTINGS_MODULE": "lexicon.settings", "SECRET_KEY": "only-for-benchmarks", **addresses}
    import django

    django.setup()
    from agents.catalog import agent_for, close_all
    from agents.contract import Request, Text

    async for event in agent_for(model).reply(Request(question=question)):
        if isinstance(event, Text):
            yield event.text
    await close_all()


async def measure(reader: Reader, url: str, count: int) -> None:
    """Print the microseconds that a delta costs this process."""

    async def read(tokens: int) -> float:
        before = time.process_time()
        said = [text async for text in reader(url, json.dumps({"tokens": tokens, "every_ms": 1, "first_ms": 100}))]
        if "".join(said) != "".join(upstream.tokens(tokens)):
            raise RuntimeError("what was read is not what the model said")
        return time.process_time() - before

    await read(10)
    # What a reply costs besides its deltas is not theirs.
    asking = await read(10)
    print(f"{(await read(count) - asking) / (count - 10) * 1e6:.1f}")


def measure_here(module: str, reader: str, url: str, count: str) -> None:
    """`measure` in this process, on an event loop of its own."""
    uvloop.run(measure(getattr(import_module(module), reader), url, int(count)))


def main(arguments: list[str]) -> None:
    """Print what a delta costs each reader."""
    count = arguments[0] if arguments else "3000"
    here, peers = (sys.executable, "benchmarks.deltas"), (str(PEERS_PYTHON), "benchmarks.peers.readers")
    print(f"CPU of a delta: one reply of {count} tokens, one each millisecond")
    with upstream.run_in_process() as url:
        for name, (python, module), reader in (
            ("OpenAI's wire, Lexicon's backend", here, "openai_backend"),
            ("OpenAI's wire, openai SDK", peers, "openai_sdk"),
            ("OpenAI's wire, httpx and json by hand", peers, "httpx_by_hand"),
            ("Anthropic's wire, Lexicon's backend", here, "anthropic_backend"),
            ("Anthropic's wire, anthropic SDK", peers, "anthropic_sdk"),
        ):
            code = "import sys; from benchmarks.deltas import measure_here; measure_here(*sys.argv[1:])"
            command = [python, "-c", code, module, reader, url, count]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                # The last line of a failure says what it was.
                print(f"  {name}: not measured: {done.stderr.strip().splitlines()[-1]}")
            else:
                print(f"  {name}: {done.stdout.strip()} µs")
