"""Are the values of a REST request what they should be?

Small readers instead of serializers with their own error shapes: each answers the value or raises
an INVALID_REQUEST that names the field.
"""

from __future__ import annotations

from typing import Any

from chats.models import Message
from chats.tokens import LEAST_TTL_SECONDS, MOST_TTL_SECONDS, TTL_SECONDS
from core.errors import invalid
from core.payload import text_problem

#: Largest offset of a page (CONTRACT: 2,147,483,647).
MAX_OFFSET = 2**31 - 1
MAX_LIMIT = 100


def read_user_id(body: dict[str, Any], name: str = "user_id") -> str:
    """A user id of 1 to 255 characters."""
    if name not in body:
        raise invalid(**{name: "is required"})
    if problem := text_problem(body[name], longest=255, blank=True) or (
        "must not be empty" if body[name] == "" else None
    ):
        raise invalid(**{name: problem})
    return str(body[name])


def read_title(title: object) -> str:
    """A title of at most 255 characters; "" where none is given."""
    if title is None:
        return ""
    if problem := text_problem(title, longest=255, blank=True):
        raise invalid(title=problem)
    return str(title)


def read_status(status: object) -> str:
    """A status that a caller may set: escalating is for agents and staff."""
    if status not in ("active", "closed"):
        raise invalid(status="must be active or closed")
    return str(status)


def read_rating(body: dict[str, Any]) -> str | None:
    """What is thought of a reply: "up", "down", or None to take it back."""
    if "rating" not in body:
        raise invalid(rating="is required")
    if body["rating"] not in (None, *Message.Rating.values):
        raise invalid(rating="must be up, down or null")
    return None if body["rating"] is None else str(body["rating"])


def read_ttl(seconds: object) -> int:
    """How long a chat token lives, in seconds."""
    if seconds is None:
        return TTL_SECONDS
    if isinstance(seconds, float) and seconds.is_integer():
        seconds = int(seconds)  # To JSON, 60.0 is the integer 60.
    if type(seconds) is not int or not LEAST_TTL_SECONDS <= seconds <= MOST_TTL_SECONDS:
        raise invalid(ttl_seconds=f"must be an integer from {LEAST_TTL_SECONDS} to {MOST_TTL_SECONDS}")
    return seconds


def read_page(query: Any, *, default_order: str) -> tuple[int, int, bool]:
    """offset, limit and whether the order is descending."""
    offset = _integer(query, "offset", default=0, least=0, most=MAX_OFFSET)
    limit = _integer(query, "limit", default=50, least=1, most=MAX_LIMIT)
    order = query.get("order", default_order)
    if order not in ("asc", "desc"):
        raise invalid(order="must be asc or desc")
    return offset, limit, order == "desc"


def read_flag(query: Any, name: str) -> bool:
    """A flag of the query: true or false, absent is false."""
    value = query.get(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise invalid(**{name: "must be true or false"})
    return value in ("true", "1")


def _integer(query: Any, name: str, *, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    # Python reads "1_0", " 1" and Arabic digits as integers; a query does not.
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or not least <= int(text) <= most:
        raise invalid(**{name: f"must be an integer from {least} to {most}"})
    return int(text)
