"""Which processes live? A reply is its owner's for as long as that process does."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db.models import Subquery
from django.db.models.functions import Now

from chats.models import Process

#: How long the row of a dead process is kept, for those who wonder what happened.
_DEAD_KEPT = timedelta(days=1)


def beat(process_id: uuid.UUID) -> None:
    """Renew the lease of a process, on the database's clock."""
    if not Process.objects.filter(id=process_id).update(beat_at=Now()):
        Process.objects.create(id=process_id)


def others_alive(process_id: uuid.UUID) -> bool:
    """Whether another process lives on this database: one that has beaten since this one started.

    (The row of a process that died just before is younger than its lease too, but it beats no more.)
    """
    started = Process.objects.filter(id=process_id).values("started_at")
    return Process.objects.living().exclude(id=process_id).filter(beat_at__gt=Subquery(started)).exists()


def do_retire(process_id: uuid.UUID) -> None:
    """The process stops in good order: its connections are gone, its replies handed over."""
    Process.objects.filter(id=process_id).delete()


def forget_dead() -> None:
    """Delete the rows of processes long dead."""
    Process.objects.filter(beat_at__lt=Now() - _DEAD_KEPT).delete()
