"""A customer's backend: it posts over REST, reads the stream, and goes on with it where it broke off."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.campaign.history import History
from tests.support.actors import Actor

HTTP: dict[str, Any] = {"timeout": httpx.Timeout(30, connect=10), "verify": False}


class Caller:
    """Asks in conversations. An answer that could not be had is asked for again under the same Idempotency-Key."""

    def __init__(self, history: History, name: str, actor: Actor, *, bases: tuple[str, ...] = ()) -> None:
        self.history = history
        self.name = name
        self.actor = actor
        self.bases = bases or (actor.base,)
        self.statuses: list[int] = []
        self._count = 0
        #: The text of the reply that is read, the stream it is read from, and the last event of it.
        self.text, self._stream, self._event, self._cut_after = "", "", 0, 0

    def _address(self, conversation: str) -> str:
        self._count += 1
        return f"{self.bases[self._count % len(self.bases)]}/api/v1/customer/conversations/{conversation}"

    def _headers(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.actor.customer_key}", **more}

    async def ask(self, conversation: str, content: str, *, id: str, seconds: float = 60, cut_after: int = 0) -> str:
        """The reply's text, to its end, whatever happens on the way. Raises TimeoutError.

        With `cut_after` its own connection breaks after at most so many events, again and again.
        """
        self.text, self._stream, self._event, self._cut_after = "", "", 0, cut_after
        async with asyncio.timeout(seconds), httpx.AsyncClient(**HTTP) as http:
            failures = 0
            while True:
                try:
                    if await self._once(http, conversation, content, id):
                        return self.text
                    failures = 0
                except httpx.TransportError:
                    self._note("sse" if self._stream else "post", "info", id)
                failures += 1
                await asyncio.sleep(random.uniform(0, min(2.0, 0.1 * 2**failures)))

    async def _once(self, http: httpx.AsyncClient, conversation: str, content: str, id: str) -> bool:
        """Whether the reply is had to its end."""
        if not self._stream:
            who = {"tenant": str(self.actor.tenant_id), "chat": conversation, "user": conversation}
            self._note("post", "invoke", id, content=content, **who)
            sent = http.stream(
                "POST",
                self._address(conversation) + "/messages",
                json={"message": content},
                headers=self._headers(**{"Idempotency-Key": id}),
            )
        else:
            sent = http.stream(
                "GET",
                self._address(conversation) + "/stream",
                params={"stream": self._stream},
                headers=self._headers(**({"Last-Event-ID": str(self._event)} if self._event else {})),
            )
        async with sent as answer:
            self.statuses.append(answer.status_code)
            if answer.status_code == 204:
                return await self._read_history(http, conversation, content)
            if answer.status_code != 200:
                if not self._stream:
                    self._note("post", "fail", id, code=str(answer.status_code))
                return False
            if not self._stream:
                self._note("post", "ok", id, message_id=answer.headers["X-Message-Id"])
            if answer.headers["X-Stream-Id"] != self._stream:
                self._event, self.text = 0, ""
            self._stream = answer.headers["X-Stream-Id"]
            return await self._read(answer, conversation)

    async def _read(self, answer: httpx.Response, conversation: str) -> bool:
        problem = False
        response = f"{self.name}-{self._count}"
        left = random.randint(1, self._cut_after) if self._cut_after else -1
        async for number, data in events(answer):
            self._note(
                "sse",
                "ok",
                response,
                tenant=str(self.actor.tenant_id),
                chat=conversation,
                stream=self._stream,
                number=number,
                data=data,
            )
            if data == "[DONE]":
                return not problem
            match data["type"]:
                case "restart":
                    self.text = ""
                case "delta":
                    self.text += data["text"]
                case "error":
                    problem = True
                    continue  # not a piece of the try
            self._event = number
            left -= 1
            if left == 0:
                raise httpx.ReadError("cut")
        raise httpx.ReadError("the stream broke off")

    async def _read_history(self, http: httpx.AsyncClient, conversation: str, content: str) -> bool:
        """The reply has ended unheard: the history has it."""
        answer = await http.get(self._address(conversation) + "/messages", headers=self._headers())
        self.statuses.append(answer.status_code)
        if answer.status_code != 200:
            return False
        turns = [(turn["role"], turn["content"]) for turn in answer.json()["messages"]]
        if ("user", content) not in turns:
            return False
        # Replies stand in the order of their questions, but not beside them.
        place = [said for role, said in turns if role == "user"].index(content)
        replies = [said for role, said in turns if role == "assistant"]
        if len(replies) <= place:
            return False
        self.text = replies[place]
        return True

    def _note(self, op: str, phase: str, id: object, **saw: Any) -> None:
        self.history.add(self.name, op, phase, id=id, **saw)


class Pulse:
    """Asks processes all the time whether they live: how long that takes is how far their event loops lag."""

    def __init__(self, *bases: str) -> None:
        self.statuses: set[int] = set()
        self._took: list[float] = []
        self._tasks = [asyncio.create_task(self._ask(base)) for base in bases]

    async def _ask(self, base: str) -> None:
        async with httpx.AsyncClient(**HTTP, base_url=base) as http:
            while True:
                began = time.monotonic()
                self.statuses.add((await http.get("/healthz")).status_code)
                self._took.append(time.monotonic() - began)
                await asyncio.sleep(0.05)

    def stop(self) -> str:
        """Ask no more, and say what it took."""
        for task in self._tasks:
            task.cancel()
        took = sorted(self._took)
        return f"liveness answered within {took[len(took) * 99 // 100] * 1000:.0f} ms (99 %)"


async def events(answer: httpx.Response) -> AsyncIterator[tuple[int, Any]]:
    """The events of a response as (id, data), without comments."""
    body = b""
    async for read in answer.aiter_bytes():
        body += read
        while b"\n\n" in body:
            block, _, body = body.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":"))
            if fields:
                yield int(fields["id"]), "[DONE]" if fields["data"] == "[DONE]" else json.loads(fields["data"])


async def pry(history: History, name: str, actor: Actor, chat: str) -> None:
    """Ask for everything that can be listed, and for a chat that is another tenant's."""
    async with httpx.AsyncClient(**HTTP, headers={"X-API-Key": actor.tenant_key}) as http:
        for path in ("/", f"/{chat}", f"/{chat}/messages", "/user/alice"):
            answer = await http.get(f"{actor.base}/api/v1/chats{path}")
            if answer.status_code != 200:
                history.add(name, "read", "fail", tenant=str(actor.tenant_id), status=answer.status_code)
                continue
            body = answer.json()
            messages = [message["id"] for message in body.get("messages", ())]
            chats = [listed["id"] for listed in body.get("chats", ())] + ([body["id"]] if "id" in body else [])
            history.add(name, "read", "ok", tenant=str(actor.tenant_id), chats=chats, messages=messages)
