"""Wherever a reply of two hundred pieces is cut, who comes back is told exactly the rest.

The model says a word and waits until that was told, so that each word is a piece.
"""

from __future__ import annotations

import asyncio

import httpx

from core.db.executor import in_thread
from tests.resume.test_streams import Customer, Response, text_of
from tests.support.client import Socket, script
from tests.websocket.conftest import Model, NewTenant

PIECES = 200
WORDS = [f"word{number} " for number in range(PIECES)]
TEXT = "".join(WORDS).strip()


class Steps:
    """The model, which is let go on word by word."""

    def __init__(self, model: Model) -> None:
        self.message = script(say=TEXT, hold=model.mark, hold_each=True)
        self._address = f"{model.url}/release/{model.mark}"
        self._http = httpx.AsyncClient(verify=False)

    async def go_on(self, count: int) -> None:
        """So many words were told."""
        await self._http.post(f"{self._address}-{count}")

    async def close(self) -> None:
        await self._http.aclose()


async def test_on_the_websocket(new_tenant: NewTenant, model: Model) -> None:
    """After each word somebody comes back who had the question, and hears all that was said, then the rest."""
    acme, steps = await new_tenant(ws_connections=1000), Steps(model)
    chat_id = await in_thread(acme.new_chat)
    back: list[Socket] = []
    async with await acme.join(chat_id) as asked:
        await asked.send({"content": steps.message})
        for count in range(1, PIECES + 1):
            await asked.until("message_stream_token")
            socket = await acme.join(chat_id, after="1")
            token = await socket.until("message_stream_token")
            assert (token["offset"], token["token"].strip()) == (0, "".join(WORDS[:count]).strip())
            back.append(socket)
            await steps.go_on(count)
        ended = await asked.until("message_stream_ended")
    await steps.close()
    for socket in back:
        assert await socket.until("message_stream_ended") == ended
        assert socket.folded() == ended["content"] == TEXT
        assert [event["sequence"] for event in socket.events if "sequence" in event] == [2]
        assert len(socket.of_type("message_stream_started")) == 1


async def test_on_sse(new_tenant: NewTenant, model: Model) -> None:
    """When all but the end is told, for each event somebody comes back who has that, and no more."""
    customer, steps = Customer(await new_tenant()), Steps(model)
    async with customer.client:
        conversation = await in_thread(customer.actor.new_conversation)
        posted = await customer.open("POST", f"/{conversation}/messages", json={"message": steps.message})
        for count in range(1, PIECES):
            await posted.until(b"id: %d\n" % count)
            await steps.go_on(count)
        await posted.until(b"id: %d\n" % PIECES)

        async def come_back(last: int) -> Response:
            return await customer.open(
                "GET",
                f"/{conversation}/stream",
                params={"stream": posted.headers["X-Stream-Id"]},
                headers={"Last-Event-ID": str(last)},
            )

        cuts = range(PIECES + 1)
        resumed = await asyncio.gather(*map(come_back, cuts))
        await steps.go_on(PIECES)
        told, *rests = await asyncio.gather(posted.rest(), *(response.rest() for response in resumed))
    await steps.close()
    assert text_of(told) == TEXT
    assert len(told) == PIECES + 1
    for last, rest in zip(cuts, rests, strict=True):
        assert rest == told[last:]
