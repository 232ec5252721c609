"""Who is told, once it is committed, that something in a chat changed?

A wake-up says which chat. A feed that is woken reads the database, unless it stands right before what was committed and
is told where the chat stands since. The engine's process listens; in a command nobody does, and the engine finds what
changed at its next look.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

if TYPE_CHECKING:
    from chats.following import ChatSnapshot

Listener = Callable[[uuid.UUID, bool, "ChatSnapshot | None"], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Call `listener` with the id of each chat that changes, in whatever thread changed it.

    Its second argument says whether the running reply's owner was asked for something; its third is where the chat
    stands since, with what is new, where that is known.
    """
    _listeners.append(listener)


def stop_listening(listener: Listener) -> None:
    """Undo `listen`."""
    _listeners.remove(listener)


def after_commit(chat_id: uuid.UUID, *, owner_asked: bool = False, snapshot: ChatSnapshot | None = None) -> None:
    """Wake the followers of this chat when the transaction is committed.

    `snapshot` is what a reading of it would find then; only who holds the chat's lock to the end can know.
    """
    transaction.on_commit(partial(_wake, chat_id, owner_asked, snapshot))


def _wake(chat_id: uuid.UUID, owner_asked: bool, snapshot: ChatSnapshot | None) -> None:
    for listener in tuple(_listeners):
        listener(chat_id, owner_asked, snapshot)
