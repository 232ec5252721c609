"""Clients as a careful integrator writes them: they repeat what was not acknowledged, come back and go on.

After a disconnect a client waits longer each time, with full jitter, connects with `?after=` and sends again, in
order, what it has no acknowledgement of, under the same client_message_id. It stays away where docs/websocket.md
says that nothing would change. All it does and sees is in the history.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import websockets

from tests.campaign.history import History
from tests.support.actors import Actor

#: Close codes after which coming back as one was changes nothing.
FOR_GOOD = {4400, 4401, 4403, 4404, 4410}
#: What is worth sending again, a little later.
PASSING = {"SERVICE_UNAVAILABLE", "RATE_LIMIT_EXCEEDED"}
#: The longest wait before the nth attempt is the first of these times 2 ** n, and at most the second, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


@dataclass(eq=False)
class Post:
    """A message on its way."""

    id: str
    content: str
    message_id: str | None = None
    refused: str | None = None
    end: dict[str, Any] | None = None
    #: Whether it was ever sent.
    invoked: bool = False


class Talker:
    """One WebSocket after another on one chat; each attempt goes to the next of `bases`."""

    def __init__(
        self,
        history: History,
        name: str,
        actor: Actor,
        chat: str,
        *,
        user: str | None = None,
        bases: Sequence[str] = (),
    ) -> None:
        self.history = history
        self.name = name
        self.actor = actor
        self.chat = chat
        self.user = user or name
        self.bases = bases or [actor.ws]
        #: Whether it says on connecting what it has.
        self.resumes = True
        #: Whether it sends again what was refused for the moment.
        self.repeats = True
        #: Whether it comes back after a disconnect.
        self.returns = True
        #: The last sequence it was told, and when the server thought that was.
        self.seen: int | None = None
        self.timestamp = ""
        self.connection: websockets.ClientConnection | None = None
        self.is_open = False
        self.number = 0
        #: The close codes of its connections.
        self.closes: list[int | None] = []
        #: How many attempts it took to be connected, each time.
        self.attempts_to_return: list[int] = []
        self._attempts = 0
        #: The close code after which it stayed away.
        self.gone: int | None = None
        self.posts: dict[str, Post] = {}
        #: What it made of the replies' tokens.
        self.said: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._again: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._task: asyncio.Task[None] | None = None

    # --- What a scenario asks for ---

    def start(self) -> Talker:
        self._task = asyncio.create_task(self._keep(), name=self.name)
        return self

    async def ready(self, seconds: float = 30) -> Talker:
        await self.until(lambda: self.is_open, seconds)
        return self

    async def until(self, condition: Callable[[], object], seconds: float) -> None:
        """Wait until something it was told of is so."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def post(self, content: str, *, id: str | None = None) -> Post:
        """Send a message; it is on its way when this returns."""
        post = Post(id or f"{self.name}-{len(self.posts)}", content)
        self.posts[post.id] = post
        if self.is_open:
            await self._send(post)
        return post

    async def acknowledged(self, post: Post, seconds: float = 30) -> Post:
        await self.until(lambda: post.message_id or post.refused, seconds)
        return post

    async def answered(self, post: Post, seconds: float = 60) -> Post:
        await self.until(lambda: post.end or post.refused, seconds)
        return post

    async def say(self, content: str, seconds: float = 60) -> Post:
        return await self.answered(await self.post(content), seconds)

    def cut(self) -> None:
        """Break the connection, without a word."""
        if self.connection is not None:
            self.connection.transport.abort()

    async def leave(self) -> None:
        self._leaving = True
        if self.connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2):
                    await self.connection.close()
        tasks = [task for task in (*self._again, self._task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def speaking(self) -> bool:
        """Whether it was told part of a reply by now."""
        return any(self.said.values())

    # --- What it does by itself ---

    async def _keep(self) -> None:
        failures = 0
        while not self._leaving:
            self.number += 1
            number = self.number
            self._attempts += 1
            after = self.seen if self.resumes else None
            self._note("connect", "invoke", number, tenant=str(self.actor.tenant_id), chat=self.chat, after=after)
            try:
                code = await self._live(number, self.bases[number % len(self.bases)], after)
            except (OSError, TimeoutError, websockets.WebSocketException) as error:
                self._note("connect", "fail", number, why=type(error).__name__)
                failures += 1
            else:
                failures = 0 if code in (None, 1000, 1006, 1012) else failures + 1
                if code in FOR_GOOD or not self.returns:
                    self.gone = code
                    self._news.set()
                    return
            await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures)))

    async def _live(self, number: int, base: str, after: int | None) -> int | None:
        query = {"api_key": self.actor.tenant_key, "user_id": self.user, "chat_id": self.chat}
        if after is not None:
            query["after"] = str(after)
        self.connection = connection = await websockets.connect(
            f"{base}/ws/chat?{urlencode(query)}",
            max_size=None,
            max_queue=None,
            compression=None,
            proxy=None,
            open_timeout=10,
            close_timeout=2,
        )
        try:
            with contextlib.suppress(websockets.ConnectionClosed):
                async for text in connection:
                    await self._hear(number, json.loads(text))
        finally:
            self.is_open = False
            code = connection.close_code
            self.closes.append(code)
            self._note("close", "ok", number, code=code, by="client" if self._leaving else "server")
            for post in self.posts.values():
                if post.invoked and not post.message_id and not post.refused:
                    self._note("post", "info", post.id)
            self._news.set()
        return code

    async def _hear(self, number: int, event: dict[str, Any]) -> None:
        self.timestamp = event.pop("timestamp")
        self.events.append(event)
        self._note("see", "ok", number, event=event)
        match event["event_type"]:
            case "connection_established":
                self.is_open = True
                self.attempts_to_return.append(self._attempts)
                self._attempts = 0
                for post in list(self.posts.values()):
                    if not post.message_id and not post.refused:
                        await self._send(post)
            case "message_received":
                post = self.posts.get(event.get("client_message_id", ""))
                if post is not None and event["user_id"] == self.user:
                    post.message_id = event["message_id"]
                    self._note("post", "ok", post.id, message_id=post.message_id)
            case "message_stream_started":
                self.said[event["message_id"]] = ""
            case "message_stream_token":
                self.said[event["message_id"]] = self.said.get(event["message_id"], "") + event["token"]
            case "message_stream_ended":
                for post in self.posts.values():
                    if post.message_id == event["reply_to"]:
                        post.end = event
            case "error":
                self._refused(event)
        if "sequence" in event:
            self.seen = max(self.seen or 0, event["sequence"])
        elif self.seen is None and event["event_type"] == "connection_established":
            self.seen = 0
        self._news.set()

    def _refused(self, event: dict[str, Any]) -> None:
        post = self.posts.get(event["details"].get("client_message_id", ""))
        if post is None or post.message_id:
            return
        self._note("post", "fail", post.id, code=event["error_code"])
        if self.repeats and event["error_code"] in PASSING:
            wait = event["details"].get("retry_after", 0) if event["error_code"] == "SERVICE_UNAVAILABLE" else 0
            task = asyncio.create_task(self._send_again(post, wait))
            self._again.add(task)
            task.add_done_callback(self._again.discard)
        else:
            post.refused = event["error_code"]

    async def _send_again(self, post: Post, wait: float) -> None:
        await asyncio.sleep(wait + random.uniform(0.1, 0.5))
        if self.is_open and not post.message_id:
            await self._send(post)

    async def _send(self, post: Post) -> None:
        post.invoked = True
        self._note(
            "post",
            "invoke",
            post.id,
            tenant=str(self.actor.tenant_id),
            chat=self.chat,
            user=self.user,
            content=post.content,
        )
        assert self.connection is not None
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.connection.send(json.dumps({"content": post.content, "client_message_id": post.id}))

    def _note(self, op: str, phase: str, id: object, **saw: Any) -> None:
        self.history.add(self.name, op, phase, id=id, **saw)
