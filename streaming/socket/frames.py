"""What did a client say in a frame?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from chats.chats import parse_id
from chats.fields import read_rating
from chats.posting import Draft, read_draft
from core.errors import INVALID_REQUEST, ApiError, invalid
from core.payload import read_object, text_problem


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the reply being written; with `reply_id` only that one."""

    reply_id: uuid.UUID | None
    #: Whether an id was given that is no reply's, so that nothing is to be stopped.
    nothing: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """What its reader thinks of a reply: "up", "down", or None to take it back."""

    message_id: str
    rating: str | None


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""


class FrameError(Exception):
    """A frame that is refused, with the client_message_id it gave, if any."""

    def __init__(self, problem: ApiError, client_message_id: str | None) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.client_message_id = client_message_id


def read_frame(text: str | None) -> Draft | Stop | Rate | Ping:
    """What the frame says; `text` None stands for a binary frame. Raises FrameError."""
    client_message_id = None
    try:
        if text is None:
            raise ApiError(INVALID_REQUEST, "Frames must be text, not binary", fix="Send one JSON object as text.")
        frame = read_object(text)
        given = frame.get("client_message_id")
        if given is not None:
            if problem := text_problem(given, longest=255, blank=True) or ("must not be empty" if not given else None):
                raise invalid(client_message_id=problem)
            client_message_id = given
        return _read(frame, client_message_id)
    except ApiError as error:
        raise FrameError(error, client_message_id) from None


def find_client_message_id(text: str | None) -> str | None:
    """The client_message_id of a frame that is refused unread, so that the client knows which it was."""
    try:
        said = read_frame(text)
    except FrameError as error:
        return error.client_message_id
    return said.client_message_id if isinstance(said, Draft) else None


def _read(frame: dict[str, Any], client_message_id: str | None) -> Draft | Stop | Rate | Ping:
    if "content" in frame:
        if "action" in frame:
            raise invalid(action="must not come together with content")
        return read_draft(frame["content"], frame.get("metadata"), client_message_id)
    if "ping" in (frame.get("action"), frame.get("type"), frame.get("event_type")):
        return Ping()
    if "action" not in frame:
        raise invalid(content="is missing")
    if frame["action"] not in ("stop", "rate"):
        raise invalid(action="must be stop, rate or ping")
    message_id = frame.get("message_id")
    if not isinstance(message_id, str | None):
        raise invalid(message_id="must be a string")
    if frame["action"] == "rate":
        if message_id is None:
            raise invalid(message_id="is required")
        return Rate(message_id, read_rating(frame))
    if message_id is None:
        return Stop(None)
    reply_id = parse_id(message_id)
    return Stop(reply_id, nothing=reply_id is None)
