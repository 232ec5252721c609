"""How is the owner of a reply asked to stop writing it?"""

from __future__ import annotations

import uuid

from chats import wake
from chats.models import Reply


def request_stop(*, tenant_id: uuid.UUID, chat_id: uuid.UUID, reply_id: uuid.UUID | None = None) -> None:
    """Ask the owner of the chat's running reply (only of `reply_id`, if given) to stop; nothing happens without one."""
    asked = Reply.objects.for_tenant(tenant_id).filter(chat_id=chat_id, state=Reply.State.RUNNING)
    if reply_id is not None:
        asked = asked.filter(id=reply_id)
    if asked.update(stop_requested=True):
        wake.after_commit(chat_id, owner_asked=True)
