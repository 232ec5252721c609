"""Which endpoints were switched off by themselves, for the page that greets staff?"""

from __future__ import annotations

from typing import Any

from django import template

from webhooks.models import Endpoint

register = template.Library()

#: Endpoints that are listed; the rest are a click away.
_MOST = 10


@register.inclusion_tag("admin/webhooks/switched_off.html", takes_context=True)
def endpoints_switched_off(context: dict[str, Any]) -> dict[str, Any]:
    """The newest of them, for staff who may see endpoints."""
    if not context["request"].user.has_perm("webhooks.view_endpoint"):
        return {}
    found = Endpoint.objects.all_tenants().filter(is_enabled=False).exclude(disabled_reason="")
    return {"endpoints": list(found.select_related("tenant").order_by("-created_at", "-id")[:_MOST])}
