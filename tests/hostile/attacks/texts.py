"""H1: messages whose text is the attack."""

from __future__ import annotations

import asyncio
import contextlib

from tests.hostile.strike import ONE, Strike, attack
from tests.hostile.wire import Connection

#: Longest message that the service takes, in characters.
LONGEST = 32_000


def run_of(*marks: str, base: str = "a", length: int = LONGEST) -> str:
    """A message that is one base character and marks, taken in turns."""
    return base + ("".join(marks) * length)[: length - len(base)]


def halves(first: str, second: str, length: int = LONGEST) -> str:
    """Marks of a higher combining class, then as many of a lower one: all of them change places."""
    half = (length - 1) // 2
    return "a" + first * half + second * half


#: What Unicode's normal forms have most work with. Named by what they are made of.
MARKS = {
    "tibetan": run_of("\u0f81"),
    "latin, by turns": run_of("\u0301", "\u0316"),
    "latin, all change places": halves("\u0301", "\u0334"),
    "falling classes": run_of(*"\u0345\u035d\u0315\u0301\u0316\u031b\u0321\u0334"),
    "hebrew": run_of(*"\u05c1\u05bf\u05bc\u05b9\u05b7\u05b1", base="\u05d0"),
    "arabic": run_of(*"\u0670\u0651\u0650\u064f\u064b", base="\u0627"),
    "ligatures that are eighteen characters each": "\ufdfa" * LONGEST,
    "devanagari and nukta": run_of("\u094d", "\u093c", base="\u0915"),
    "thai": run_of("\u0e48", "\u0e38", base="\u0e01"),
    "kana": run_of("\u3099", "\u302d", base="\u304b"),
    "jamo": "\u1100\u1161\u11a8" * (LONGEST // 3),
    "music": run_of("\U0001d16d", "\U0001d165", base="\U0001d158"),
    "vietnamese": "\u1ed9\u0323\u0302" * (LONGEST // 3),
    "joiners": run_of("\u200d", "\u0301"),
}


async def talk(strike: Strike, socket: Connection, *messages: str) -> None:
    """Send each message when the one before it is answered, as long as there is time."""
    for message in messages:
        if strike.left <= 0:
            return
        await socket.say(strike.either(message))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(strike.left):
                while await socket.until("message_stream_ended", "error"):
                    break


@attack("marks of a visitor", "H1", quick=True)
async def marks_of_a_visitor(strike: Strike) -> None:
    async with strike.visit() as socket:
        await talk(strike, socket, MARKS["tibetan"])


@attack("marks of all scripts", "H1")
async def marks_of_all_scripts(strike: Strike) -> None:
    for name, message in MARKS.items():
        if strike.left <= 0:
            strike.note(f"came to {name}")
            return
        async with strike.chat("acme") as socket:
            await talk(strike, socket, message)


@attack("marks in the history", "H1")
async def marks_in_the_history(strike: Strike) -> None:
    """What was said before is looked at again with each message."""
    async with strike.chat("acme") as socket:
        first = MARKS["latin, all change places"]
        await talk(strike, socket, first, "and what else?", "and refunds?", "which of them?", "tell me more")


@attack("marks at keywords", "H1")
async def marks_at_keywords(strike: Strike) -> None:
    """A model answers, but the tenant's keywords are looked for before it is asked."""
    async with strike.chat("keywords") as socket:
        await talk(strike, socket, MARKS["falling classes"], MARKS["hebrew"])


@attack("marks in many languages", "H1")
async def marks_in_many_languages(strike: Strike) -> None:
    """A search goes through a message once for each language that there are articles in."""
    async with strike.chat("acme") as socket:
        await talk(strike, socket, MARKS["ligatures that are eighteen characters each"], MARKS["arabic"], MARKS["thai"])


@attack("long words", "H1")
async def long_words(strike: Strike) -> None:
    """No marks, but texts that functions over words, sentences and questions have most work with."""
    for message in (
        "a" * LONGEST,
        "e-" * (LONGEST // 2),
        "a " * (LONGEST // 2),
        "? " * (LONGEST // 2),
        "a.b" * (LONGEST // 3),
        "\u0130" * LONGEST,
        " \t" * (LONGEST // 2 - 1) + "x",
        "\n#" * (LONGEST // 2),
        "\u4e00" * LONGEST,
        "no. " * (LONGEST // 4),
        "http://" * (LONGEST // 7),
        "“" * LONGEST,
    ):
        async with strike.chat("acme") as socket:
            await talk(strike, socket, message)


@attack("marks everywhere else", "H1", on=ONE)
async def marks_everywhere_else(strike: Strike) -> None:
    """In what else is stored and compared: names, metadata, ids, searches."""
    text = strike.either(MARKS["latin, all change places"][:4000])
    key = strike.cast["acme"]["tenant_key"]
    await strike.ask("POST", "/api/v1/chats/", json={"user_id": text[:255]}, X_API_Key=key)
    for _ in range(10):
        fields = {"user_id": "mallory", "title": text, "metadata": {"m": text}}
        await strike.ask("POST", "/api/v1/chats/", json=fields, X_API_Key=key)
    async with strike.chat("acme") as socket:
        for number in range(10):
            await socket.say("hello", client_message_id=text[:250] + str(number), metadata={text[:100]: text})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(3, strike.left)):
                await socket.until("message_stream_ended", "error")
