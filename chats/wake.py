"""Who is told, once it is committed, that something in a chat changed?

A wake-up says which chat, never what: whoever is woken reads the database. The engine's process
listens; in a command nobody does, and the engine finds what changed at its next look.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial

from django.db import transaction

Listener = Callable[[uuid.UUID, bool], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Call `listener` with the id of each chat that changes, in whatever thread changed it.

    Its second argument says whether the running reply's owner was asked for something.
    """
    _listeners.append(listener)


def stop_listening(listener: Listener) -> None:
    """Undo `listen`."""
    _listeners.remove(listener)


def after_commit(chat_id: uuid.UUID, *, owner_asked: bool = False) -> None:
    """Wake whoever follows this chat when the transaction is committed."""
    transaction.on_commit(partial(_wake, chat_id, owner_asked))


def _wake(chat_id: uuid.UUID, owner_asked: bool) -> None:
    for listener in tuple(_listeners):
        listener(chat_id, owner_asked)
