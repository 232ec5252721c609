"""How is a chat made, found and listed?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from chats.models import Chat, Message
from core.db.statements import Param, Select
from core.errors import USER_NOT_FOUND, ApiError, chat_not_found
from tenants.models import EndUser


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, and where it stands in the whole."""

    rows: list[Any]
    total: int
    offset: int
    limit: int

    @property
    def has_more(self) -> bool:
        """Whether rows follow this page."""
        return self.offset + len(self.rows) < self.total


def parse_id(text: object) -> uuid.UUID | None:
    """The id that `text` spells in its usual form of 36 characters, or None."""
    try:
        parsed = uuid.UUID(str(text))
    except ValueError:
        return None
    return parsed if str(parsed) == str(text).lower() else None


def visible(tenant_id: uuid.UUID | Param, *, conversations_only: bool = False) -> QuerySet[Chat]:
    """The chats a caller of this tenant may know of; a customer key knows only its conversations."""
    chats = Chat.objects.for_tenant(tenant_id).filter(deleted_at=None)
    return chats.filter(is_conversation=True) if conversations_only else chats


def open_chat(*, tenant_id: uuid.UUID, chat_id: object, conversations_only: bool = False, locked: bool = False) -> Chat:
    """The chat with its user, `locked` until the transaction ends.

    Raises ApiError CHAT_NOT_FOUND; another tenant's is not found either.
    """
    found = parse_id(chat_id)
    chat = _OPEN[conversations_only, locked].first(tenant_id=tenant_id, chat_id=found) if found else None
    if chat is None:
        raise chat_not_found(chat_id)
    return chat


def _with_user(conversations_only: bool, locked: bool) -> QuerySet[Chat]:
    chats = visible(Param("tenant_id"), conversations_only=conversations_only).filter(id=Param("chat_id"))
    chats = chats.select_related("user")
    return chats.select_for_update(no_key=True, of=("self",)) if locked else chats


_OPEN = {which: Select(partial(_with_user, *which)) for which in product((False, True), repeat=2)}


def find_or_create_user(*, tenant_id: uuid.UUID, external_id: str) -> tuple[EndUser, bool]:
    """The user of that id, and whether it was made just now."""
    return EndUser.objects.for_tenant(tenant_id).get_or_create(tenant_id=tenant_id, external_id=external_id)


@transaction.atomic
def do_create_chat(
    *, tenant_id: uuid.UUID, user_id: str | None, title: str = "", metadata: dict[str, Any], conversation: bool = False
) -> Chat:
    """A new chat of the user, who is made when unknown. Without a user_id the chat's own id is its user's."""
    now = timezone.now()
    chat = Chat(
        tenant_id=tenant_id,
        title=title,
        metadata=metadata,
        is_conversation=conversation,
        created_at=now,
        updated_at=now,
    )
    chat.user, _ = find_or_create_user(tenant_id=tenant_id, external_id=user_id or str(chat.id))
    chat.save(force_insert=True)
    return chat


def list_chats(*, tenant_id: uuid.UUID, user_id: str | None, offset: int, limit: int, descending: bool) -> Page:
    """The chats of a user (None: of the whole tenant) by creation. Raises USER_NOT_FOUND where a user has none."""
    chats = visible(tenant_id)
    if user_id is not None:
        user = EndUser.objects.for_tenant(tenant_id).filter(external_id=user_id).first()
        chats = chats.filter(user=user)
    total = chats.count()
    if user_id is not None and not total:
        raise ApiError(USER_NOT_FOUND)
    order = ("-created_at", "-id") if descending else ("created_at", "id")
    rows = _from(chats, offset, descending=descending) if offset else chats
    return Page(list(rows.select_related("user").order_by(*order)[:limit]), total, offset, limit)


def _from(chats: QuerySet[Chat], offset: int, *, descending: bool) -> QuerySet[Chat]:
    """The chats without the first `offset` of them.

    Where they begin is found in the index alone: no row that a far offset passes is read.
    """
    order = ("-created_at", "-id") if descending else ("created_at", "id")
    begin = list(chats.order_by(*order).values_list("created_at", "id")[offset : offset + 1])
    if not begin:
        return chats.none()
    ((created_at, chat_id),) = begin
    if descending:
        return chats.filter(created_at__lte=created_at).exclude(created_at=created_at, id__gt=chat_id)
    return chats.filter(created_at__gte=created_at).exclude(created_at=created_at, id__lt=chat_id)


def list_messages(*, chat: Chat, offset: int, limit: int, descending: bool) -> Page:
    """The messages of a chat by sequence. Sequences have no gaps, so a page is a range of them."""
    if descending:
        last = chat.last_sequence - offset
        first = max(1, last - limit + 1)
    else:
        first, last = offset + 1, offset + limit
    messages = Message.objects.for_tenant(chat.tenant_id).filter(chat=chat, sequence__range=(first, last))
    messages = messages.select_related("user").order_by("-sequence" if descending else "sequence")
    # The range has no more, but a planner that thinks so reads every user to join them.
    rows = list(messages[:limit])
    return Page(rows, chat.last_sequence, offset, limit)
