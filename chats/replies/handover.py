"""How does a process that stops in good order give a reply back?"""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import F

from chats import wake
from chats.models import Chat, Reply


@transaction.atomic
def hand_over(*, tenant_id: uuid.UUID, chat_id: uuid.UUID, reply_id: uuid.UUID, epoch: int) -> None:
    """Queue a running reply again, its try not spent: its process stops in good order."""
    Chat.objects.for_tenant(tenant_id).select_for_update(no_key=True).filter(id=chat_id).first()
    Reply.objects.for_tenant(tenant_id).filter(id=reply_id, epoch=epoch, state=Reply.State.RUNNING).update(
        state=Reply.State.QUEUED, owner=None, epoch=F("epoch") + 1, tries=F("tries") - 1
    )
    wake.after_commit(chat_id)
