"""How does a WebSocket chat?"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from chats.connections import Opened, do_close_connection, name_of_credential, open_connection
from chats.posting import Draft, Posted, post_message
from chats.rating import rate_message
from chats.replies.stopping import request_stop
from core.db.executor import check_room, in_thread
from core.error_responses import error_of
from core.errors import AUTH_ERROR, INTERNAL_ERROR, NOT_FOUND, RATE_LIMIT_EXCEEDED, ApiError, unavailable
from core.observability import logs, metrics
from streaming import wire
from streaming.engine import Engine, engine
from streaming.socket.follower import Follower
from streaming.socket.frames import FrameError, Ping, Rate, Stop, find_client_message_id, read_frame
from streaming.socket.handshake import read_parameters, refuse_stranger
from streaming.socket.log import log_opened, log_refused
from tenants import strangers
from tenants.authentication import NoValidKey, open_live_key
from tenants.known import live_keys
from tenants.limits import FrameRate

logger = logging.getLogger(__name__)

#: Frames of one socket that may wait while the database is slow.
MOST_WAITING = 100
#: After so many that were refused, a socket rests for a second. What it sends meanwhile waits on the client's side.
REFUSED_BEFORE_REST = 500


class ChatConsumer(AsyncWebsocketConsumer):
    """One WebSocket on one chat.

    Channels hands a socket one event at a time, so handlers only take note; what takes time is done by
    two tasks, one that writes events (the follower's) and one that works off the client's frames.
    """

    _engine: Engine
    _follower: Follower
    _rate: FrameRate
    _opened: Opened | None = None
    #: Whether there may be a row of it. To look for one would be the only statement that a refused stranger costs.
    _has_row = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The socket's whole life. What must be released is released here: `disconnect` may never run."""
        self._tasks: list[asyncio.Task[None]] = []
        self._inbox: deque[Draft | Stop | Rate] = deque()
        self._arrived = asyncio.Event()
        self._refused = 0
        try:
            await super().__call__(scope, receive, send)
        finally:
            for task in self._tasks:
                task.cancel()
            self._release()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """The handler of an event. Channels' own makes a hop to a thread for each."""
        match message["type"]:
            case "websocket.connect":
                await self.websocket_connect(message)
            case "websocket.receive":
                try:
                    await self.websocket_receive(message)
                except Exception as exception:
                    self._follower.refuse(error_of(exception))
            case "websocket.disconnect":
                raise StopConsumer

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        """Admit the socket, or accept it, say why not, and close it."""
        await self.accept()
        self._engine = engine()
        connection_id = uuid.uuid4()
        logs.begin(connection_id=connection_id)
        self._follower = Follower(connection_id=connection_id, send=self.base_send)
        self._tasks.append(asyncio.create_task(self._write(), name=f"writer of {connection_id}"))
        self._engine.hub.register(self._follower)
        try:
            if not self._engine.is_leased:
                raise unavailable()
            opened = await self._open(connection_id)
        except Exception as exception:
            problem = error_of(exception)
            if isinstance(exception, NoValidKey):
                problem = await refuse_stranger(self.scope) or problem
            log_refused(self.scope, problem)
            self._follower.refuse(problem)
            return
        self._opened = opened
        self._log_closed = log_opened(opened)
        self._follower.key_id = opened.key.id
        self._rate = FrameRate(opened.key.tenant.ws_messages_per_second)
        greeting = [wire.connection_established(user_id=opened.user.external_id, chat=opened.chat)]
        if opened.user_created:
            greeting.append(wire.user_created(user_id=opened.user.external_id))
        # Frames that came with the handshake are read only after the greeting: Channels waits for this handler.
        await self._engine.hub.join(
            opened.chat.id, self._follower, greeting, status=opened.chat.status, after=opened.after
        )
        self._tasks.append(asyncio.create_task(self._work(), name=f"frames of {connection_id}"))

    async def _open(self, connection_id: uuid.UUID) -> Opened:
        """Admit the socket. A key that nobody has is found out before it costs a statement of its own."""
        parameters = read_parameters(self.scope)
        name = name_of_credential(parameters)
        await strangers.check_key(name, self.scope)
        self._has_row = True
        try:
            return await in_thread(
                open_connection,
                parameters=parameters,
                connection_id=connection_id,
                process_id=self._engine.process_id,
            )
        except NoValidKey:
            live_keys.forget(name)
            raise

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """Take note of a frame. It is counted before it is read."""
        if self._opened is None:
            return
        if not self._rate.admit():
            metrics.LIMITS_HIT.labels("frames").inc()
            problem = ApiError(RATE_LIMIT_EXCEEDED, "Too many frames in one second", retry_after=1)
            self._follower.put(wire.error(problem, client_message_id=find_client_message_id(message.get("text"))))
            self._refused += 1
            if self._refused % REFUSED_BEFORE_REST == 0:
                await asyncio.sleep(1)
            return
        try:
            said = read_frame(message.get("text"))
        except FrameError as error:
            self._follower.put(wire.error(error.problem, client_message_id=error.client_message_id))
            return
        if isinstance(said, Ping):
            self._follower.put(wire.pong())
        elif len(self._inbox) >= MOST_WAITING:
            metrics.LIMITS_HIT.labels("frames").inc()
            problem = ApiError(RATE_LIMIT_EXCEEDED, "Too many frames wait to be carried out", retry_after=1)
            given = said.client_message_id if isinstance(said, Draft) else None
            self._follower.put(wire.error(problem, client_message_id=given))
        else:
            self._inbox.append(said)
            self._follower.is_busy = True
            self._arrived.set()

    async def _work(self) -> None:
        """Carry out the client's frames, in their order."""
        assert self._opened is not None
        chat_id = self._opened.chat.id
        while True:
            while self._inbox:
                await self._carry_out(self._inbox.popleft())
            self._arrived.clear()
            self._follower.is_busy = False
            self._engine.hub.release(chat_id)
            await self._arrived.wait()

    async def _carry_out(self, said: Draft | Stop | Rate) -> None:
        opened = self._opened
        assert opened is not None
        try:
            if isinstance(said, Stop):
                if not said.nothing:
                    await in_thread(
                        request_stop,
                        tenant_id=opened.chat.tenant_id,
                        chat_id=opened.chat.id,
                        reply_id=said.reply_id,
                    )
                return
            if isinstance(said, Rate):
                rated = await in_thread(
                    rate_message,
                    tenant_id=opened.chat.tenant_id,
                    chat_id=opened.chat.id,
                    message_id=said.message_id,
                    rating=said.rating,
                )
                self._follower.put(wire.message_rated(rated))
                return
            if self._engine.draining:
                # Another process answers it, or this one's successor: what it is told here, nobody may be left to hear.
                raise unavailable()
            check_room()
            posted = await in_thread(self._post, opened, said)
        except Exception as exception:
            problem = error_of(exception)
            if problem.kind in (AUTH_ERROR, INTERNAL_ERROR):
                self._follower.refuse(problem)
            else:
                given = said.client_message_id if isinstance(said, Draft) else None
                self._follower.put(wire.error(problem, client_message_id=given))
            return
        if posted.repeated:
            self._engine.hub.acknowledge(self._follower, posted.message)

    def _post(self, opened: Opened, draft: Draft) -> Posted:
        # Policy and key are read afresh: either may have changed since the socket was opened.
        key = open_live_key(opened.key.id)
        posted = post_message(
            tenant=key.tenant,
            chat_id=opened.chat.id,
            user=opened.user,
            draft=draft,
            process_id=self._engine.claims_for,
            of_end_user=opened.by_token,
            network=opened.network,
        )
        if not posted.repeated:
            self._engine.run_soon(posted.reply)
        return posted

    async def _write(self) -> None:
        try:
            await self._follower.write()
        except Exception as exception:
            # The client is gone; the receiving side hears of it as well.
            logger.debug("a socket's writer ends: %s", type(exception).__name__)

    def _release(self) -> None:
        if not hasattr(self, "_follower"):
            return
        opened = self._opened
        if opened is not None:
            self._log_closed()
        self._engine.hub.leave(opened.chat.id if opened else None, self._follower)
        if self._has_row:
            self._engine.spawn(self._forget(self._follower.connection_id), "closing of a connection")

    async def _forget(self, connection_id: uuid.UUID) -> None:
        try:
            await in_thread(do_close_connection, connection_id)
        except ApiError:
            logger.info("the row of connection %s stays until the next beat", connection_id)


class UnknownSocket(AsyncWebsocketConsumer):
    """A WebSocket at an address where there is none."""

    async def connect(self) -> None:
        """Accept, say why not, close."""
        await self.accept()
        problem = ApiError(NOT_FOUND)
        if not await self._shows_key():
            problem = await refuse_stranger(self.scope) or problem
        log_refused(self.scope, problem)
        await self.send(wire.error(problem))
        await self.close(problem.kind.close or 4404, problem.kind.code)

    async def _shows_key(self) -> bool:
        try:
            await strangers.check_key(name_of_credential(read_parameters(self.scope)), self.scope)
        except ApiError:
            return False
        return True
