"""Which sockets are let in, and which of them are open?"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from chats.chats import find_or_create_user, open_chat
from chats.models import Chat, Connection
from chats.places import look_around, take_place
from chats.tokens import check_origin, read_token
from core.addresses import network_id
from core.db.statements import Delete, Param
from core.errors import AUTH_ERROR, CONNECTION_LIMIT_EXCEEDED, INVALID_REQUEST, ApiError, invalid
from core.observability import metrics
from core.payload import text_problem
from core.refusals import refused
from tenants.authentication import check_kind, name_of_key, open_key, open_live_key
from tenants.models import ApiKey, EndUser, Tenant

_PAGE_IS_FULL = "As many people as this page has room for chat at the moment"
_ADDRESS_IS_FULL = "As many chats as one address may have are open from yours"


@dataclass(frozen=True, slots=True)
class Opened:
    """A socket that may talk."""

    key: ApiKey
    chat: Chat
    user: EndUser
    user_created: bool
    #: The last sequence the client has; None where it did not say.
    after: int | None
    #: Whether a chat token opened it instead of a key.
    by_token: bool
    #: The address of a visitor of the chat page, where it is bounded.
    network: str | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a client says when it opens its WebSocket; "" where it says nothing."""

    raw_key: str
    user_id: str
    chat_id: str
    token: str = ""
    #: The last sequence the client has.
    after: str = ""
    #: The page it comes from, and the host it called; None where it is no browser.
    origin: str | None = None
    host: str = ""
    #: Its address, where the bounds of addresses hold for it (`core.addresses.bounded_network`).
    network: str | None = None


def open_connection(*, parameters: Parameters, connection_id: uuid.UUID, process_id: uuid.UUID) -> Opened:
    """Admit a WebSocket. The first check that fails answers.

    They are: key or token, its kind, user_id, chat_id, the chat, after, the limit.

    Raises ApiError AUTH_ERROR, WRONG_KEY_TYPE, INVALID_REQUEST, CHAT_NOT_FOUND or CONNECTION_LIMIT_EXCEEDED.
    """
    key, user_id, chat_id, of_visitor = _find_caller(parameters)
    network = parameters.network if of_visitor else None
    _check_parameters(user_id, chat_id)
    with transaction.atomic():
        # Locked against a deletion that looks for connections at this moment.
        chat = open_chat(tenant_id=key.tenant_id, chat_id=chat_id, locked=True)
        after = _read_after(parameters.after)
        user, created = chat.user, False
        if user.external_id != user_id:
            user, created = find_or_create_user(tenant_id=key.tenant_id, external_id=user_id)
        row = Connection(
            id=connection_id,
            process_id=process_id,
            tenant_id=key.tenant_id,
            chat=chat,
            user=user,
            key=key,
            of_visitor=of_visitor,
            network=network_id(network) if network is not None else None,
        )
        _admit(row, key.tenant, network)
    return Opened(key, chat, user, created, after, by_token=not parameters.raw_key, network=network)


def name_of_credential(parameters: Parameters) -> str | uuid.UUID:
    """What names the key that opens the socket: its digest, or the id that a chat token holds.

    Raises NoValidKey where both are missing, malformed, or not ours; the database is not asked.
    """
    if parameters.raw_key or not parameters.token:
        return name_of_key(parameters.raw_key)
    return read_token(parameters.token).key_id


def do_close_connection(connection_id: uuid.UUID) -> None:
    """The socket is gone."""
    _FORGET.run(connection_id=connection_id)


_FORGET = Delete(lambda: Connection.objects.all_tenants().filter(id=Param("connection_id")))


def tidy(*, process_id: uuid.UUID, open_connections: Collection[uuid.UUID]) -> None:
    """Delete this process's rows of sockets that are gone."""
    mine = Connection.objects.all_tenants().filter(process_id=process_id)
    gone = set(mine.values_list("id", flat=True)) - set(open_connections)
    if gone:
        mine.filter(id__in=gone).delete()


def dead_keys(key_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the keys that open nothing (any more)."""
    keys = ApiKey.objects.all_tenants().filter(id__in=key_ids).select_related("tenant")
    return set(key_ids) - {key.id for key in keys if key.is_live}


def _admit(row: Connection, tenant: Tenant, network: str | None) -> None:
    """Raises ApiError CONNECTION_LIMIT_EXCEEDED where the visitor's address, or the tenant, has all it may.

    Visitors have places of their own, half as many as the tenant: however many come, they take none of the tenant's.
    """
    places = tenant.ws_connections // 2 if row.of_visitor else tenant.ws_connections
    most = settings.VISITOR_CONNECTIONS if network is not None else 0
    around = look_around(row, places=places, bounded=bool(most))
    if most and around.neighbours >= most:
        refused("visitor_connections", address=network)
        raise ApiError(CONNECTION_LIMIT_EXCEEDED, _ADDRESS_IS_FULL, fix="Close one of them, then connect again.")
    if not take_place(row, places=places, counts=around.counts):
        metrics.LIMITS_HIT.labels("connections").inc()
        raise ApiError(CONNECTION_LIMIT_EXCEEDED, _PAGE_IS_FULL if row.of_visitor else None)


def _find_caller(parameters: Parameters) -> tuple[ApiKey, str, str, bool]:
    """The key that opens the socket, or that made the token which does, for whom and what, and if for a visitor."""
    if parameters.raw_key or not parameters.token:
        key = open_key(parameters.raw_key)
        check_kind(key, ApiKey.Kind.TENANT)
        return key, parameters.user_id, parameters.chat_id, False
    token = read_token(parameters.token)
    key = open_live_key(token.key_id)
    check_origin(parameters.origin, host=parameters.host, tenant=key.tenant)
    for given, named in ((parameters.user_id, token.user_id), (parameters.chat_id, token.chat_id)):
        if given not in ("", named):
            raise ApiError(AUTH_ERROR, "The chat token is for another user or chat")
    return key, token.user_id, token.chat_id, token.of_visitor


def _read_after(text: str) -> int | None:
    if not text:
        return None
    # The same bound as for the offset of a page.
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) > 2**31 - 1:
        raise invalid(after="must be the last sequence received, an integer from 0")
    return int(text)


def _check_parameters(user_id: str, chat_id: str) -> None:
    if not user_id:
        fix = "Add user_id parameter: ?user_id=your_user_id or X-User-ID header"
        raise ApiError(AUTH_ERROR, "Missing user_id parameter", fix=fix)
    if problem := text_problem(user_id, longest=255, blank=True):
        raise ApiError(INVALID_REQUEST, f"user_id {problem}", fields={"user_id": problem})
    if not chat_id:
        fix = "Add chat_id parameter: ?chat_id=your_chat_id or X-Chat-ID header"
        raise ApiError(INVALID_REQUEST, "Missing chat_id parameter", fix=fix, fields={"chat_id": "is missing"})
