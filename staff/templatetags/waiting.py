"""Which chats wait for a person, and who is there, for the pages that greet staff?"""

from __future__ import annotations

from typing import Any

from django import template

from chats.inbox import longest_waiting
from chats.staff_presence import who_is_there

register = template.Library()

#: Chats that are listed; the rest are a click away.
_MOST = 10


@register.inclusion_tag("admin/chats/waiting.html", takes_context=True)
def waiting_for_a_person(context: dict[str, Any]) -> dict[str, Any]:
    """The chats that have waited longest, for staff who may see chats."""
    if not _may_see(context):
        return {"may_see": False}
    chats = longest_waiting(_MOST + 1)
    return {"may_see": True, "chats": chats[:_MOST], "has_more": len(chats) > _MOST}


@register.inclusion_tag("admin/chats/staff_there.html", takes_context=True)
def there_to_answer(context: dict[str, Any]) -> dict[str, Any]:
    """Who of the staff is there, for staff who may see chats."""
    return {"may_see": True, "staff": who_is_there()} if _may_see(context) else {"may_see": False}


def _may_see(context: dict[str, Any]) -> bool:
    user = context["request"].user
    return bool(user.has_perm("chats.view_chat") or user.has_perm("chats.change_chat"))
