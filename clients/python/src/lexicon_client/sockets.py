"""How does one talk in a chat over a WebSocket that may break?

Whoever waits for something (a token, an event) reads the socket for all. Another thread may send and stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from lexicon_client import calls
from lexicon_client.calls import Rating
from lexicon_client.doors import KeyDoor, TokenDoor, TokenSource
from lexicon_client.failure import Unreachable
from lexicon_client.models import Reply
from lexicon_client.saying import Event, Progress, Saying
from lexicon_client.session import Session
from lexicon_client.text import Token


class ChatSession:
    """One user in one chat; iterate over it for what happens besides the replies to what you say."""

    def __init__(self, door: KeyDoor | TokenDoor, session: Session) -> None:
        self._door = door
        self._session = session
        self._socket: ClientConnection | None = None
        self._stack = ExitStack()
        self._reading = threading.Lock()
        self._closed = False

    @classmethod
    def with_token(cls, base_url: str, token: TokenSource, *, after: int | None = None, attempts: int = 8) -> Self:
        """A session for whoever holds a chat token and no key; without `after` all of the chat is told first.

        A function in place of a token is asked for a fresh one before each connection.
        """
        session = Session("", "", after, attempts, renewing=not isinstance(token, str))
        return cls(TokenDoor(base_url, token), session)

    @property
    def after(self) -> int | None:
        """The sequence of the last message heard of: a later session may go on from it."""
        return self._session.after

    @property
    def status(self) -> str:
        """active, escalated or closed."""
        return self._session.status

    def send(
        self, content: str, *, metadata: dict[str, Any] | None = None, client_message_id: str | None = None
    ) -> ReplyStream:
        """Say something: iterate over what this gives for the tokens of the reply."""
        saying = self._session.say(content, metadata, client_message_id or calls.new_key())
        self._send(saying.frame)
        return ReplyStream(self, saying)

    def stop(self) -> None:
        """Stop the reply that is being written, whoever asked."""
        self._send('{"action": "stop"}')

    def rate(self, message_id: str, rating: Rating | None) -> None:
        """Say what the user thinks of a reply of the agent, or None to take it back; told by `message_rated`."""
        self._send(calls.rate_frame(message_id, rating))

    def __iter__(self) -> Iterator[Event]:
        """Events as they come, for ever."""
        while True:
            self._until(lambda: bool(self._session.events))
            yield self._session.events.popleft()

    def close(self) -> None:
        """Leave. Replies go on without us."""
        self._closed = True
        self._disconnect()

    def __enter__(self) -> Self:
        self._until(lambda: self._session.established)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            with self._reading:
                if not ready():
                    self._read()

    def _read(self) -> None:
        """Read one event, or connect (again)."""
        if self._closed:
            raise Unreachable("the session is closed")
        if self._session.broken is not None:
            raise self._session.broken
        try:
            if self._socket is None:
                self._connect()
                return
            frame = self._next()
        except (OSError, WebSocketException) as error:
            self._disconnect()
            code = error.rcvd.code if isinstance(error, ConnectionClosed) and error.rcvd else None
            time.sleep(self._session.lost(code, error))
            return
        if frame is None:
            self._session.repeat()
        else:
            self._session.receive(frame)
        while self._session.outbox:
            self._send(self._session.outbox.popleft())
        if self._session.behind:
            self._disconnect()

    def _next(self) -> str | bytes | None:
        """The next event; None where something is to be sent again first."""
        assert self._socket is not None
        try:
            return self._socket.recv(self._session.patience())
        except TimeoutError:
            return None

    def _connect(self) -> None:
        address, headers = self._door.way(self._session)
        opening = connect(address, additional_headers=headers, max_size=None)
        self._socket = self._stack.enter_context(opening)

    def _send(self, frame: str) -> None:
        """Send it where there is a connection; what matters is sent again on the next one."""
        try:
            if self._socket is not None:
                self._socket.send(frame)
        except ConnectionClosed:
            return

    def _disconnect(self) -> None:
        self._socket = None
        self._stack.close()


class ReplyStream(Progress):
    """The reply to a message: iterate over its tokens, then `reply` is the whole."""

    def __init__(self, session: ChatSession, saying: Saying) -> None:
        super().__init__(saying)
        self._session = session

    def __iter__(self) -> Iterator[Token]:
        """Tokens as they come; AgentError at the end where the agent failed."""
        saying = self._saying
        while saying.tokens or not saying.done:
            self._session._until(lambda: bool(saying.tokens) or saying.done)
            while saying.tokens:
                yield saying.tokens.popleft()
        if saying.error is not None:
            raise saying.error

    def acknowledged(self) -> str:
        """Wait until the message is stored: its id."""
        saying = self._saying
        self._session._until(lambda: saying.message_id is not None or saying.done)
        if saying.message_id is None:
            raise saying.error or Unreachable("the message was not stored")
        return saying.message_id

    def read(self) -> Reply | None:
        """Read to the end: the reply, None where a person answers."""
        for _ in self:
            pass
        return self.reply

    def stop(self) -> None:
        """Stop this reply, as soon as it has begun; read on for its end."""
        self._saying.stopping = True
        if self._saying.reply_id is not None:
            self._session._send(self._saying.stop_frame)
