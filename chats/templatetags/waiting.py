"""Which chats wait for a person, for the pages that greet staff?"""

from __future__ import annotations

from typing import Any

from django import template

from chats.waiting import longest_waiting

register = template.Library()

#: Chats that are listed; the rest are a click away.
_MOST = 10


@register.inclusion_tag("admin/chats/waiting.html", takes_context=True)
def waiting_for_a_person(context: dict[str, Any]) -> dict[str, Any]:
    """The chats that have waited longest, for staff who may see chats."""
    user = context["request"].user
    if not (user.has_perm("chats.view_chat") or user.has_perm("chats.change_chat")):
        return {"may_see": False}
    chats = longest_waiting(_MOST + 1)
    return {"may_see": True, "chats": chats[:_MOST], "has_more": len(chats) > _MOST}
