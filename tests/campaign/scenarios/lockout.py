"""Does nginx as shipped let everybody back in, when processes are replaced or hang, and when all come at once?

Every client here has one address, as in an office, and a WebSocket and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from contextlib import suppress

from chats.models import Connection
from tests.campaign.clients import Talker
from tests.campaign.cluster import DRAIN, LEASE
from tests.campaign.load import all_ready, lasting, message, new_chats
from tests.campaign.scenarios.processes import SWEEP
from tests.campaign.stage import Stage, scenario
from tests.shipping import nginx


def as_shipped(stage: Stage) -> nginx.Nginx:
    """The shipped nginx in front of both replicas, nothing loosened."""
    one, other = stage.cluster.replicas
    return stage.closing.enter_context(nginx.running((one.port, other.port), **{"75s": "75s"}))


async def all_back(talkers: list[Talker]) -> float:
    """How long it takes until each is connected for the second time, in seconds."""
    began = time.monotonic()
    back = (talker.until(lambda talker=talker: len(talker.attempts_to_return) > 1, 60) for talker in talkers)
    await asyncio.gather(*back)
    return time.monotonic() - began


def statuses(front: nginx.Nginx) -> Counter[str]:
    """How often nginx answered what."""
    return Counter(json.loads(line)["status"] for line in front.access_log.read_text().splitlines())


def silences(stage: Stage, talkers: list[Talker], began: float, ended: float) -> list[float]:
    """The longest time in which each was told nothing, from the shortest to the longest."""
    heard = {talker.name: [began] for talker in talkers}
    for line in stage.history.lines:
        if line["op"] == "see" and line["client"] in heard and began < line["at"] < ended:
            heard[line["client"]].append(line["at"])
    return sorted(
        max(later - earlier for earlier, later in zip(times, [*times[1:], ended], strict=True))
        for times in heard.values()
    )


@scenario("F29")
async def rolling_restart(stage: Stage) -> None:
    """Both replicas are replaced, one after the other, with 60 replies being written; half of the clients resume."""
    acme = await stage.new_actor()
    front = as_shipped(stage)
    chats = await new_chats(stage.database, acme, 60)
    talkers = [stage.talker(f"r{number}", acme, chat, bases=[front.ws]) for number, chat in enumerate(chats)]
    for talker in talkers[::2]:
        talker.resumes = False
    await all_ready(talkers)
    stopping = asyncio.Event()

    async def talk(talker: Talker, seconds: float) -> None:
        """One reply after the other."""
        while not stopping.is_set():
            post = await talker.post(lasting(seconds, tokens=20))
            # Who missed its end hears nothing any more, and goes on.
            with suppress(TimeoutError):
                await talker.answered(post, 2 * DRAIN + seconds)

    # Replies that may end before their process does, and replies that are handed over.
    lengths = (DRAIN / 2, DRAIN / 2, 1.5 * DRAIN, 1.5 * DRAIN)
    talking = [asyncio.create_task(talk(talker, lengths[number % 4])) for number, talker in enumerate(talkers)]
    for talker in talkers:
        await talker.until(lambda talker=talker: talker.speaking, 30)
    began = time.monotonic()
    for replica in stage.cluster.replicas:
        await asyncio.to_thread(replica.terminate, 3 * (DRAIN + 2))
        await asyncio.to_thread(replica.start)
    ended = time.monotonic()
    stopping.set()
    await asyncio.gather(*talking)
    # Replies end in order: after the end of this one there is none to come, and each knows where its chat stands.
    await asyncio.gather(*(talker.say(message()) for talker in talkers))
    missed = [talker for talker in talkers for post in talker.posts.values() if post.end is None]
    answered = statuses(front)
    quiet = silences(stage, [talker for talker in talkers if talker not in missed], began, ended)
    most = quiet[len(quiet) * 95 // 100]
    stage.note(f"both replaced in {ended - began:.1f} s: silence {quiet[len(quiet) // 2]:.2f} s, 95 % {most:.2f} s")
    stage.note(f"{answered['429']} × 429, {answered['503']} × 503, {len(missed)} ends not seen by who does not resume")
    stage.require(most <= 3, f"silence of {most:.2f} s")
    stage.require(answered["429"] == 0, f"nginx refused {answered['429']} handshakes of one address")
    stage.require(not any(talker.resumes for talker in missed), "a client that resumes did not see an end")
    stage.require(not missed, f"{len(missed)} ends were not seen")


@scenario("F30")
async def all_at_once(stage: Stage) -> None:
    """The 500 sockets of one address break at the same moment, and all of them come back."""
    acme = await stage.new_actor()
    front = as_shipped(stage)
    chats = await new_chats(stage.database, acme, 100)
    talkers = [stage.talker(f"s{number}", acme, chats[number % 100], bases=[front.ws]) for number in range(500)]
    await all_ready(talkers)
    for talker in talkers:
        talker.cut()
    stage.recovered_in = await all_back(talkers)
    handshakes = sum(talker.attempts_to_return[1] for talker in talkers)
    await asyncio.gather(*(talker.say(message()) for talker in talkers[:10]))
    answered = statuses(front)
    stage.note(f"500 sockets back by {handshakes} handshakes; {answered['429']} × 429, {answered['503']} × 503")
    stage.require(stage.recovered_in <= 6, f"all were back after {stage.recovered_in:.1f} s")
    stage.require(answered["429"] == 0, f"nginx refused {answered['429']} handshakes of one address")


@scenario("F31")
async def hangs(stage: Stage) -> None:
    """SIGSTOP of one of two replicas, with 20 replies being written: the kernel accepts, and nobody answers."""
    acme = await stage.new_actor()
    hung = stage.cluster.replicas[0]
    front = as_shipped(stage)
    chats = await new_chats(stage.database, acme, 20)
    talkers = [stage.talker(f"h{number}", acme, chat, bases=[front.ws]) for number, chat in enumerate(chats)]
    await all_ready(talkers)
    asked = [(talker, await talker.post(lasting(4))) for talker in talkers]
    for talker in talkers:
        await talker.until(lambda talker=talker: talker.speaking, 30)

    def held() -> set[str]:
        of_hung = Connection.objects.for_tenant(acme.tenant_id).filter(process=hung.process_id)
        return {str(chat) for chat in of_hung.values_list("chat_id", flat=True)}

    of_hung = await stage.database.run(held)
    hit = [talker for talker in talkers if talker.chat in of_hung]
    stage.require(0 < len(hit) < len(talkers), "all sockets were on one replica")
    hung.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        # As a client does whose pings are not answered.
        for talker in hit:
            talker.cut()
        stage.recovered_in = await all_back(hit)
        late = [stage.talker(f"late{number}", acme, chat, bases=[front.ws]) for number, chat in enumerate(chats)]
        entering = time.monotonic()
        await all_ready(late)
        entered = time.monotonic() - entering
        await asyncio.gather(*(talker.answered(post) for talker, post in asked))
        took = time.monotonic() - began
    finally:
        hung.signal(signal.SIGCONT)
    stage.note(f"{len(hit)} of 20 sockets back, 20 new ones in after {entered:.1f} s; replies whole after {took:.1f} s")
    stage.require(stage.recovered_in <= 6, f"all were back after {stage.recovered_in:.1f} s")
    stage.require(entered <= 6, f"new ones were in after {entered:.1f} s")
    stage.require(took <= 3 * (LEASE + SWEEP + 4 + 1), "the replies were not whole in time")
    await asyncio.gather(*(talker.say(message()) for talker in late))
