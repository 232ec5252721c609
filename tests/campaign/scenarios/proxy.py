"""Streams through nginx, as deploy/nginx has it, and where somebody changed it."""

from __future__ import annotations

import asyncio
import time

import httpx

from tests.campaign.callers import HTTP, events
from tests.campaign.cluster import ROOMY
from tests.campaign.load import message
from tests.campaign.stage import Stage, scenario
from tests.shipping import nginx
from tests.support.actors import Actor

WORDS = " ".join(f"word{number}" for number in range(40))


@scenario("F22")
async def through_nginx(stage: Stage) -> None:
    """Buffering and gzip on and off; silence for longer than nginx waits; a client that leaves."""
    ports = (stage.cluster.replicas[0].port, stage.cluster.replicas[1].port)
    ways = {
        "as shipped": {},
        "gzip on": {"gzip off;": "gzip on; gzip_types *; gzip_min_length 1;"},
        "buffering on": {"proxy_buffering off;": "proxy_buffering on;"},
    }
    acme = await stage.new_actor()
    counts, firsts = [], []
    for way, changes in ways.items():
        with nginx.running(ports, **{**ROOMY, "75s": f"{nginx.SILENCE}s", **changes}) as front:
            reads, first, text = await _read(stage, acme, front.http, message(WORDS, every_ms=30))
            stage.require(text == WORDS, f"{way}: {text!r:.60} was told")
            counts.append(str(reads))
            firsts.append(f"{first * 1000:.0f}")
            if way == "as shipped":
                silent = message("One two", first_ms=1000 * (nginx.SILENCE + 4))
                _, _, text = await _read(stage, acme, front.http, silent)
                stage.require(text == "One two", f"after silence {text!r:.60} was told")
                await _leave(stage, acme, front.http)
    stage.note(f"{', '.join(ways)}: 40 tokens in {', '.join(counts)} events, the first after {', '.join(firsts)} ms")


async def _read(stage: Stage, acme: Actor, base: str, content: str) -> tuple[int, float, str]:
    """How many reads with text it took, when the first came, and what was told."""
    conversation = await asyncio.to_thread(acme.new_conversation)
    _note(stage, acme, conversation, content)
    headers = {"Authorization": f"Bearer {acme.customer_key}"}
    reads, first, text = 0, 0.0, ""
    began = time.monotonic()
    async with (
        httpx.AsyncClient(**HTTP, headers=headers) as http,
        http.stream(
            "POST", f"{base}/api/v1/customer/conversations/{conversation}/messages", json={"message": content}
        ) as answer,
    ):
        async for _, data in events(answer):
            if data != "[DONE]" and data["type"] == "delta":
                first = first or time.monotonic() - began
                reads, text = reads + 1, text + data["text"]
    return reads, first, text


async def _leave(stage: Stage, acme: Actor, base: str) -> None:
    """Who hangs up leaves the reply running."""
    conversation = await asyncio.to_thread(acme.new_conversation)
    content = message(WORDS, every_ms=50)
    _note(stage, acme, conversation, content)
    headers = {"Authorization": f"Bearer {acme.customer_key}"}
    address = f"{base}/api/v1/customer/conversations/{conversation}/messages"
    async with httpx.AsyncClient(**HTTP, headers=headers) as http:
        async with http.stream("POST", address, json={"message": content}) as answer:
            async for _ in events(answer):
                break

        async def there() -> bool:
            return len((await http.get(address)).json()["messages"]) == 2

        await stage.within(15, "the reply whose reader left is in the history", there)


def _note(stage: Stage, acme: Actor, conversation: str, content: str) -> None:
    who = {"tenant": str(acme.tenant_id), "chat": conversation, "user": conversation}
    stage.history.add(conversation, "post", "invoke", id=conversation, content=content, **who)
