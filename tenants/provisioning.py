"""How does a tenant come to be, and how does it get its keys?"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from tenants import keys
from tenants.credits import do_grant
from tenants.models import Account, ApiKey, Tenant


@transaction.atomic
def do_create_tenant(*, name: str, credits: int | None = None, **policy: Any) -> Tenant:
    """A new tenant with its account; `credits` None is unmetered, `policy` names fields of Tenant."""
    tenant = Tenant.objects.create(name=name, **policy)
    Account.objects.create(tenant=tenant)
    if credits is not None:
        do_grant(tenant_id=tenant.id, amount=credits)
    return tenant


def do_create_key(*, tenant: Tenant, kind: str, key: str | None = None, **fields: Any) -> tuple[ApiKey, str]:
    """A new key's row and its plaintext, which is nowhere else.

    With `key`, that plaintext is stored again (of the demo tenant, whose database was thrown away).
    """
    plain = key or keys.new_key(kind)
    row = ApiKey.objects.create(
        tenant=tenant, kind=kind, digest=keys.digest(plain), prefix=plain[:4], last_four=plain[-4:], **fields
    )
    return row, plain


def do_revoke_key(key: ApiKey) -> None:
    """The key opens nothing any more; open sockets notice with their process's next beat."""
    ApiKey.objects.for_tenant(key.tenant_id).filter(id=key.id, revoked_at=None).update(revoked_at=timezone.now())
