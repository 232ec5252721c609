"""What does relaying a model's tokens cost, beside others who do it?

`make bench ARGS="relay [replies] [tokens] [milliseconds …]"`.

So many replies at once (20) of so many tokens (300), one each so many milliseconds (10, 3 and 1: as slow and as fast
models write), through Lexicon with everything on and through servers that only relay, in turn, on one model. Every
text that arrives is compared with what the model said.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import aiohttp

from benchmarks import lines, running, upstream
from benchmarks.processes import cpu_seconds
from tests.__main__ import postgresql, redis

#: Rounds that count, after one that does not.
ROUNDS = 4
#: Replies one after the other on idle servers, for the time to the first token; some before them do not count.
FIRSTS = 30
UNCOUNTED = 3
#: The model's own time to its first token, in milliseconds: far less than any model's.
FIRST_MS = 20


@dataclass
class Relay:
    """One way from the model to a client."""

    name: str
    #: The process whose CPU counts; None for the model itself.
    pid: int | None
    #: So many new clients of it.
    open: Callable[[aiohttp.ClientSession, int], Awaitable[list[lines.Line]]]
    tokens: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    firsts: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Tokens a CPU-second."""
        return self.tokens / self.cpu


def _opener(open_lines, server):  # type: ignore[no-untyped-def]
    return lambda session, count: open_lines(session, server, count)


def start(stack: ExitStack) -> list[Relay]:
    """Every relay that can run here, the model itself first."""
    folder = stack.enter_context(running.new_folder())
    model = stack.enter_context(upstream.run_in_process())
    env = {"AGENT_MODEL": "openai:bench", "OPENAI_BASE_URL": f"{model}/v1"}
    relays = [Relay("the model itself", None, _opener(lines.openai_events, running.Other(0, model)))]

    def add(name: str, database_url: str, **more: str) -> None:
        lexicon = stack.enter_context(running.lexicon(database_url, folder / f"{len(relays)}.log", **env, **more))
        relays.append(Relay(f"Lexicon, WebSocket, {name}", lexicon.pid, _opener(lines.lexicon_sockets, lexicon)))
        relays.append(Relay(f"Lexicon, SSE, {name}", lexicon.pid, _opener(lines.lexicon_events, lexicon)))

    add("SQLite", f"sqlite:///{folder / 'relay.sqlite3'}", REDIS_URL="")
    (database_url, no_database), (redis_url, no_redis) = postgresql(), redis()
    if database_url and redis_url:
        add("PostgreSQL + Redis", stack.enter_context(running.new_postgresql(database_url)), REDIS_URL=redis_url)
    else:
        print(f"not measured: Lexicon on PostgreSQL + Redis ({no_database or no_redis})")
    fastapi = stack.enter_context(running.fastapi_relay(model))
    relays.append(Relay("FastAPI + httpx", fastapi.pid, _opener(lines.fastapi_events, fastapi)))
    litellm = stack.enter_context(running.litellm_proxy(model, folder / "litellm.log"))
    relays.append(Relay("LiteLLM proxy", litellm.pid, _opener(lines.openai_events, litellm)))
    return relays


async def ask_at_once(session: aiohttp.ClientSession, relay: Relay, replies: int, count: int, every_ms: int) -> None:
    """One round: so many new clients ask at the same moment."""
    assert relay.pid is not None
    clients = await relay.open(session, replies)
    question = json.dumps({"tokens": count, "every_ms": every_ms})
    before, started = cpu_seconds(relay.pid), time.perf_counter()
    heard = await asyncio.gather(*(client.ask(question) for client in clients))
    relay.cpu += cpu_seconds(relay.pid) - before
    relay.wall += time.perf_counter() - started
    relay.tokens += replies * count
    _check(relay, heard, count)
    for client in clients:
        await client.close()


def _check(relay: Relay, heard: list[lines.Heard], count: int) -> None:
    said = "".join(upstream.tokens(count))
    if wrong := sum(reply.text != said for reply in heard):
        raise RuntimeError(f"{relay.name}: {wrong} of {len(heard)} replies are not what the model said")


async def ask_one_by_one(session: aiohttp.ClientSession, relays: list[Relay]) -> None:
    """The time to the first token, of each relay in turn, while nothing else happens."""
    question = json.dumps({"tokens": 3, "every_ms": 10, "first_ms": FIRST_MS})
    for number in range(UNCOUNTED + FIRSTS):
        for relay in relays:
            [client] = await relay.open(session, 1)
            # What opening left behind must not count as this reply's.
            await asyncio.sleep(0.02)
            heard = await client.ask(question)
            _check(relay, [heard], 3)
            await client.close()
            if number >= UNCOUNTED:
                relay.firsts.append(heard.first * 1000)


async def measure(relays: list[Relay], replies: int, count: int, paces: list[int]) -> None:
    """Everything, of each relay in turn, so that what disturbs the machine disturbs all of them; print it."""
    # uvicorn closes a connection that was idle for five seconds; one that is reused at that moment fails.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    async with aiohttp.ClientSession(connector=connector) as session:
        own, *servers = relays
        for every_ms in paces:
            for number in range(1 + ROUNDS):
                for relay in servers:
                    await ask_at_once(session, relay, replies, count, every_ms)
                    if number == 0:
                        relay.tokens, relay.cpu, relay.wall = 0, 0.0, 0.0
            report(servers, replies, count, every_ms)
        await ask_one_by_one(session, [own, *servers])
    report_firsts(own, servers)


def report(servers: list[Relay], replies: int, count: int, every_ms: int) -> None:
    """Print what the tokens cost."""
    print(f"relay: {replies} replies at once of {count} tokens, one each {every_ms} ms, {ROUNDS} rounds")
    for relay in servers:
        print(f"  {relay.name}: {relay.rate:,.0f} tokens a CPU-second ({relay.cpu:.2f} s in {relay.wall:.1f} s)")
    ours = [relay for relay in servers if relay.name.startswith("Lexicon")]
    for other in (relay for relay in servers if relay not in ours):
        for relay in ours:
            print(f"  {relay.name}: {relay.rate / other.rate:.1f} times {other.name}")


def report_firsts(own: Relay, servers: list[Relay]) -> None:
    """Print how long the first token takes."""
    base = statistics.median(own.firsts)
    print(f"first token, one reply at a time, {FIRSTS} each; the model's own: {base:.1f} ms (median)")
    for relay in servers:
        cuts = statistics.quantiles(relay.firsts, n=20)
        print(
            f"  {relay.name}: {statistics.median(relay.firsts) - base:+.1f} ms (median), {cuts[18] - base:+.1f} (95 %)"
        )


def main(arguments: list[str]) -> None:
    """Print every figure of the relay."""
    numbers = [int(argument) for argument in arguments]
    replies, count = (numbers + [20, 300][len(numbers) :])[:2]
    with ExitStack() as stack:
        asyncio.run(measure(start(stack), replies, count, numbers[2:] or [10, 3, 1]))
