"""Who imports a tenant's articles at this moment?

One import at a time for each tenant: two would each miss what the other brings. It is a row that says so, not a lock,
for an import is many transactions. An import whose process died holds nobody up for longer than its lease, and one
that wakes up after its lease has gone to another writes nothing more: it renews with every batch.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from knowledge.models import ImportLease

logger = logging.getLogger(__name__)

#: How long an import that says nothing more is still believed to run, in seconds.
LEASE_SECONDS = 20.0
#: How long another waits for it, and how often it looks, in seconds: longer than a lease that nobody renews.
MOST_WAITING_SECONDS = 25.0
_LOOK_SECONDS = 0.2


class Busy(Exception):
    """Another import of the tenant runs, and goes on for longer than anybody waits."""


class LeaseLost(Exception):
    """The lease ran out, and another import may run by now."""


class Lease:
    """What the import that runs holds."""

    def __init__(self, tenant_id: uuid.UUID) -> None:
        self._tenant_id = tenant_id
        self._id = uuid.uuid4()

    def take(self) -> bool:
        """Take it, if nobody has it."""
        leases = ImportLease.objects.for_tenant(self._tenant_id)
        # Who only looks keeps nobody from writing.
        if leases.filter(expires_at__gte=Now()).exists():
            return False
        with transaction.atomic():
            leases.filter(expires_at__lt=Now()).delete()
            lease = ImportLease(id=self._id, tenant_id=self._tenant_id, expires_at=_end())
            ImportLease.objects.bulk_create([lease], ignore_conflicts=True)
        return leases.filter(id=self._id).exists()

    def renew(self) -> None:
        """Hold it for longer. Raises LeaseLost."""
        mine = ImportLease.objects.for_tenant(self._tenant_id).filter(id=self._id)
        if not mine.update(expires_at=_end()):
            raise LeaseLost

    def release(self) -> None:
        """Let others have it."""
        ImportLease.objects.for_tenant(self._tenant_id).filter(id=self._id).delete()


@contextlib.contextmanager
def lease(tenant_id: uuid.UUID) -> Iterator[Lease]:
    """The lease of the tenant, when the import before has ended. Raises Busy."""
    mine = Lease(tenant_id)
    until = time.monotonic() + MOST_WAITING_SECONDS
    while not mine.take():
        if time.monotonic() > until:
            raise Busy
        time.sleep(_LOOK_SECONDS)
    try:
        yield mine
    finally:
        # Where the database is away, it runs out by itself.
        try:
            mine.release()
        except (DatabaseError, InterfaceError):
            logger.warning("the lease of an import was not given back: it ends in %.0f s", LEASE_SECONDS)


def _end() -> Combinable:
    return Now() + timedelta(seconds=LEASE_SECONDS)
