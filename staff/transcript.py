"""How does a chat read, page by page?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chats.chats import list_messages
from chats.models import Chat, Message, Reply
from chats.replies.recovery import ABANDONED

#: Messages on a page.
PAGE = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One message, as staff read it."""

    message: Message
    #: "user", "agent" or "person".
    kind: str
    who: str
    #: What staff should know of it besides its text.
    marks: tuple[str, ...]

    @property
    def at(self) -> datetime:
        """When it was said."""
        return self.message.created_at


@dataclass(frozen=True, slots=True)
class Transcript:
    """A page of a chat, oldest message first."""

    lines: list[Line]
    #: What to ask for to read on in either direction; None where there is no more.
    older: int | None
    newer: int | None
    #: Whether the agent writes at this moment, and how many messages wait for it.
    is_answering: bool
    queued: int


def read_transcript(chat: Chat, before: int | None) -> Transcript:
    """The latest messages of the chat, or the latest before a sequence. Reads one page, by the index."""
    end = min(before or chat.last_sequence + 1, chat.last_sequence + 1)
    page = list_messages(chat=chat, offset=chat.last_sequence + 1 - end, limit=PAGE, descending=True)
    first = max(1, end - PAGE)
    owed = Reply.objects.for_tenant(chat.tenant_id).filter(chat=chat, state__in=Reply.OPEN)
    states = list(owed.values_list("state", flat=True))
    return Transcript(
        lines=[_line(message) for message in reversed(page.rows)],
        older=first if first > 1 else None,
        newer=end + PAGE if end <= chat.last_sequence else None,
        is_answering=Reply.State.RUNNING in states,
        queued=states.count(Reply.State.QUEUED),
    )


def _line(message: Message) -> Line:
    metadata = message.metadata
    if message.role == Message.Role.USER:
        return Line(message, "user", message.user.external_id, ())
    if metadata.get("author") == "human":
        return Line(message, "person", metadata.get("author_name", "a person"), ("a person",))
    marks = [name for name in ("failed", "stopped") if metadata.get(name)]
    if metadata.get("answered") is False:
        marks.append("did not know")
    if metadata.get("escalated"):
        marks.append("called a person")
    if message.rating is not None:
        marks.append(f"rated {message.rating}")
    if metadata.get("finish_reason") == "length":
        marks.append("cut at the longest length")
    if metadata.get("finish_reason") == "content_filter":
        marks.append("cut by the model's filter")
    if metadata.get("finish_reason") == ABANDONED:
        marks.append("abandoned: the processes that wrote it fell silent")
    if metadata.get("flagged") == "instructions":
        marks.append("gives the instructions away")
    return Line(message, "agent", "the agent", tuple(marks))
