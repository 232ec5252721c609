"""How many replies wait for their turn, in the whole installation?"""

from __future__ import annotations

from django.db.models import Count, Min
from django.utils import timezone

from chats.models import Reply


def read_backlog() -> tuple[float, float]:
    """How many replies are queued, and how many seconds the oldest of them has waited (0 where none is)."""
    queued = Reply.objects.all_tenants().filter(state=Reply.State.QUEUED)
    row = queued.aggregate(count=Count("id"), oldest=Min("created_at"))
    waited = (timezone.now() - row["oldest"]).total_seconds() if row["oldest"] else 0.0
    return float(row["count"]), max(0.0, waited)
