"""How are credits reserved, taken and given?

Reserving is one conditional update: read-then-write sold 80 replies from a balance of 20 (measured).
An account without a balance is unmetered. Callers hold the chat's and the reply's lock before the account's.
"""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import F

from core.db.statements import Insert, Param, Select, Update
from core.errors import PAYMENT_REQUIRED, ApiError
from core.observability import metrics
from tenants.models import Account, CreditEntry, Tenant

_RESERVE = Update(
    lambda: Account.objects.filter(tenant_id=Param("tenant_id"), balance__gt=F("reserved")),
    reserved=F("reserved") + 1,
)
_LOCK = Select(lambda: Account.objects.filter(tenant_id=Param("tenant_id")).select_for_update(no_key=True))
_SETTLE = Update(
    lambda: Account.objects.filter(tenant_id=Param("tenant_id")),
    balance=F("balance") - Param("taken"),
    reserved=F("reserved") - 1,
)
_INSERT_ENTRY = Insert(CreditEntry)


def reserve(*, tenant: Tenant, needed: bool) -> bool:
    """Reserve one credit where a reply is `needed`; False where none is, or the account is unmetered.

    Reads tenant.account. Raises ApiError PAYMENT_REQUIRED without an active subscription or a free credit.
    """
    if not tenant.subscription_active:
        metrics.LIMITS_HIT.labels("credits").inc()
        raise ApiError(PAYMENT_REQUIRED, "The subscription is not active")
    if not needed or tenant.account.balance is None:
        return False
    if not _RESERVE.run(tenant_id=tenant.id):
        metrics.LIMITS_HIT.labels("credits").inc()
        raise ApiError(PAYMENT_REQUIRED, "The credits are used up")
    return True


def release(*, tenant_id: uuid.UUID, replies: int) -> None:
    """Give back the reserves of replies that were dropped."""
    if replies:
        Account.objects.filter(tenant_id=tenant_id).update(reserved=F("reserved") - replies)


def settle(*, tenant_id: uuid.UUID, reply_id: uuid.UUID, cost: int) -> int:
    """Turn the reserve of a reply into its cost, and answer what was taken.

    Never so much that another reserve is uncovered (CONTRACT, guarantee 8). Needs a transaction.
    """
    account = _LOCK.first(tenant_id=tenant_id)
    assert account is not None
    taken = 0
    if account.balance is not None:
        taken = min(cost, account.balance - account.reserved + 1)
        account.balance -= taken
    # Of an account without a balance (NULL) nothing is taken: NULL it stays.
    _SETTLE.run(tenant_id=tenant_id, taken=taken)
    if taken:
        _enter(account, CreditEntry.Reason.REPLY, -taken, reply_id)
    return taken


@transaction.atomic
def do_grant(*, tenant_id: uuid.UUID, amount: int) -> None:
    """Add credits (of an unmetered account: start to meter it)."""
    account = Account.objects.select_for_update(no_key=True).get(tenant_id=tenant_id)
    account.balance = (account.balance or 0) + amount
    account.save(update_fields=["balance"])
    _enter(account, CreditEntry.Reason.GRANT, amount, None)


def _enter(account: Account, reason: str, amount: int, reply_id: uuid.UUID | None) -> None:
    _INSERT_ENTRY.run(
        CreditEntry(
            tenant_id=account.tenant_id,
            reason=reason,
            amount=amount,
            balance_after=account.balance or 0,
            reply_id=reply_id,
        )
    )
