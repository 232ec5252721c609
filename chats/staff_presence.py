"""Who of the staff is there to answer chats?

Members who may change chats and have used the admin a short while ago (STAFF_AWAY_SECONDS). It is kept in the database,
for every process to read.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone

from chats.models import StaffPresence

#: How old what is kept of somebody may be before it is written anew.
NOTED_FOR = timedelta(minutes=1)


def note_presence(user: User) -> None:
    """Somebody uses the admin at this moment; it counts where they may answer chats. Writes once a minute at most."""
    now = timezone.now()
    if StaffPresence.objects.filter(user=user, seen_at__gt=now - NOTED_FOR).exists():
        return
    if user.is_active and user.is_staff and user.has_perm("chats.change_chat"):
        StaffPresence.objects.update_or_create(user=user, defaults={"seen_at": now})


def who_is_there() -> list[User]:
    """Those who are there, by their names."""
    return [presence.user for presence in _present().select_related("user").order_by("user__username")]


def is_somebody_there() -> bool:
    """Whether anybody of the staff is."""
    return _present().exists()


def _present() -> QuerySet[StaffPresence]:
    since = timezone.now() - timedelta(seconds=settings.STAFF_AWAY_SECONDS)
    return StaffPresence.objects.filter(seen_at__gt=since, user__is_active=True, user__is_staff=True)
