"""A key is taken away, and a chat is, while they are used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
from django.utils import timezone

from chats.models import Chat, Checkpoint, Message, Reply
from tenants.models import ApiKey, Tenant
from tests.campaign.callers import HTTP, Caller
from tests.campaign.checker import scripted
from tests.campaign.load import all_ready, lasting, new_chats
from tests.campaign.stage import Stage, scenario
from tests.support.actors import Actor


@scenario("F19")
async def taken_away(stage: Stage) -> None:
    """Keys are revoked, expire, and their tenant is switched off: sockets and responses are open, replies are said."""

    def keys(actor: Actor) -> Any:
        return ApiKey.objects.for_tenant(actor.tenant_id)

    ways: dict[str, Callable[[Actor], object]] = {
        "revoked": lambda actor: keys(actor).update(revoked_at=timezone.now()),
        "expired": lambda actor: keys(actor).update(expires_at=timezone.now() + timedelta(seconds=1)),
        "switched off": lambda actor: Tenant.objects.filter(id=actor.tenant_id).update(is_active=False),
    }
    slowest = 0.0
    for way, take in ways.items():
        actor = await stage.new_actor(way)
        chats = await new_chats(stage.database, actor, 6)
        talkers = [
            stage.talker(f"{way}-{n}", actor, chat, bases=[stage.cluster.sockets[n % 2]])
            for n, chat in enumerate(chats)
        ]
        await all_ready(talkers)
        for talker in talkers:
            await talker.acknowledged(await talker.post(lasting(3)))
        conversation, asked = await asyncio.to_thread(actor.new_conversation), lasting(8)
        caller = Caller(stage.history, f"{way}-caller", actor)
        reading = asyncio.create_task(caller.ask(conversation, asked, id="sse"))
        await stage.within(15, "the response begins", lambda caller=caller: _begun(caller))
        await stage.database.run(take, actor)
        began = time.monotonic()
        if way == "expired":
            began += 1
            await asyncio.sleep(1)

        async def refused(actor: Actor = actor, conversation: str = conversation) -> bool:
            headers = {"X-API-Key": actor.tenant_key, "Authorization": f"Bearer {actor.customer_key}"}
            paths = ("chats/", f"customer/conversations/{conversation}/stream")
            async with httpx.AsyncClient(**HTTP, headers=headers) as http:
                answers = [
                    await http.get(f"{replica.http}/api/v1/{path}")
                    for replica in stage.cluster.replicas
                    for path in paths
                ]
            return all(answer.status_code == 401 for answer in answers)

        await stage.within(3, f"keys that are {way} are refused on both replicas", refused)
        async with asyncio.timeout(3 * 5):
            await asyncio.gather(*(talker.until(lambda t=talker: t.closes, 15) for talker in talkers))
        slowest = max(slowest, time.monotonic() - began)
        codes = {code for talker in talkers for code in talker.closes}
        stage.require(codes == {4401}, f"{way}: the sockets were closed with {codes}")
        # A response is let to its end, which a reply has within its limits; nothing else is told on it.
        stage.require(await reading == scripted(asked), f"{way}: the response that was open said something else")
        stage.require(set(caller.statuses) == {200}, f"{way}: the response that was open was cut")
    stage.recovered_in = slowest
    stage.note(
        f"sockets closed with 4401 after {slowest:.1f} s at most; replies and open responses went on to their ends"
    )


async def _begun(caller: Caller) -> bool:
    return bool(caller.text)


@scenario("F20")
async def deleted(stage: Stage) -> None:
    """Chats are deleted while their replies are said."""
    acme = await stage.new_actor(credits=100_000)
    chats = await new_chats(stage.database, acme, 6)
    talkers = [stage.talker(f"t{n}", acme, chat, bases=[stage.cluster.sockets[n % 2]]) for n, chat in enumerate(chats)]
    await all_ready(talkers)
    posts = [await talker.post(lasting(20)) for talker in talkers]
    for talker in talkers:
        await talker.until(lambda talker=talker: talker.speaking, 30)
    async with httpx.AsyncClient(**HTTP, headers={"X-API-Key": acme.tenant_key}) as http:
        for n, chat in enumerate(chats):
            # Half of them by the replica that has neither socket nor reply.
            address = f"{stage.cluster.replicas[(n + n // 2) % 2].http}/api/v1/chats/{chat}"
            kept = await http.delete(address)
            stage.require(kept.status_code == 409, f"with a socket open: {kept.status_code}")
            gone = await http.delete(address, params={"force": "true"})
            stage.require(gone.status_code == 200, f"by force: {gone.status_code}")
            stage.history.add("operator", "delete", "ok", id=chat)
    began = time.monotonic()
    async with asyncio.timeout(15):
        await asyncio.gather(*(talker.until(lambda t=talker: t.closes, 15) for talker in talkers))
    stage.require({code for t in talkers for code in t.closes} == {4410}, "a socket was closed with another code")
    stage.require(not any(post.end for post in posts), "a reply was told to its end")

    async def upstream_closed() -> bool:
        return not (await stage.model.report())["open"]

    await stage.within(3, "the model is not listened to any more", upstream_closed)

    def orphans() -> int:
        rows = (Chat, "id"), (Message, "chat"), (Reply, "chat"), (Checkpoint, "reply__chat")
        return sum(model._default_manager.filter(**{f"{path}__in": chats}).count() for model, path in rows)

    async def none_left() -> bool:
        return not await stage.database.run(orphans)

    await stage.within(3, "no row is left", none_left)
    stage.recovered_in = time.monotonic() - began
    stage.note("409, then 4410 by force; 0 rows left")
