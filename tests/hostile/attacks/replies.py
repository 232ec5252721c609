"""H2: what a model says is a stranger's text, too."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from tests.hostile.strike import Strike, attack, prose

#: Longest reply, in characters.
LONGEST = 100_000

#: What replies are made of, by what it could hold up.
SHAPES = {
    "white space": " \t\u00a0",
    "line ends": "\r\n",
    "almost the canary": "0123456789abcde-",
    "the instructions' words": "Answer in short sentences. ",
    "the instructions, cut short": "=" * 200 + "-",
    "marks": "a" + "\u0f81" * 99,
    "ligatures": "\ufdfa",
    "longer when case is folded": "\u0390\u00df\ufb03",
    "headings": "# ",
    "brackets": "[](",
    "stars": "**_",
    "quotes": "> ",
    "joiners": "\U0001f468\u200d",
}


async def have_said(strike: Strike, shape: str, **script: Any) -> None:
    """Have a tenant's model say LONGEST characters of a shape, and wait for the end of it."""
    if strike.left <= 0:
        return
    # A message is shorter than a reply: the model repeats it.
    said = strike.either((shape * 1000)[:1000])
    script = {"say": said, "repeat": LONGEST // len(said), "tokens": 100, **script}
    async with strike.chat("ruled") as socket:
        await socket.say(json.dumps(script, ensure_ascii=False))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.1, strike.left)):
                await socket.until("message_stream_ended", "error")


@attack("a ruler is said", "H2", quick=True)
async def ruler(strike: Strike) -> None:
    """The tenant's instructions hold a ruler of 250 `=`: how much of it a reply gives away is looked for."""
    for shape in ("=", "= ", "=-"):
        await have_said(strike, shape)


@attack("hostile replies", "H2")
async def hostile_replies(strike: Strike) -> None:
    for shape in SHAPES.values():
        await have_said(strike, shape)


@attack("a model that asks for everything", "H2")
async def tool_calls(strike: Strike) -> None:
    """Tools are asked for with arguments that are deep, long, or that search for what costs most."""
    for argument in (
        "[" * 20_000 + "]" * 20_000,
        json.dumps({"query": "a" + "\u0f81" * 9_000}, ensure_ascii=False),
        '{"query": ' + "9" * 20_000 + "}",
        '{"query": "x"' + ' , "query": "x"' * 2_000 + "}",
    ):
        given = json.dumps({"query": prose(len(argument))}) if strike.harmless else argument
        await have_said(strike, "Done. ", repeat=1, calls=[[["search_knowledge", given]] * 2] * 2)
