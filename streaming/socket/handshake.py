"""What did a client say when it opened its WebSocket, and what is a stranger told?"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from chats.connections import Parameters
from core.addresses import bounded_network
from core.errors import INVALID_REQUEST, ApiError
from tenants import strangers
from tenants.authentication import NoValidKey

#: A proxy, and daphne, may have written a repeated header as one, with commas. A user id may hold one of its own.
_WITHOUT_COMMA = (b"x-api-key", b"x-chat-id")


def read_parameters(scope: dict[str, Any]) -> Parameters:
    """The parameters of a handshake, from the headers or the query; a header wins.

    Raises NoValidKey where one header came twice with different values: a proxy and the
    server behind it might each believe another of them.
    """
    # Bytes that are no UTF-8 become lone surrogates here, which the checks of each value refuse.
    query = scope["query_string"].decode("utf-8", "surrogateescape")
    given = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))

    def header(name: bytes) -> str | None:
        values = {value for key, value in scope["headers"] if key.lower() == name}
        if name in _WITHOUT_COMMA:
            values = {part.strip() for value in values for part in value.split(b",")}
        if len(values) > 1:
            label = name.decode().title()
            raise NoValidKey(f"The header {label} came twice with different values", fix="Send it once.")
        return values.pop().decode("utf-8", "surrogateescape").strip() if values else None

    def parameter(name: bytes, in_query: str) -> str:
        value = header(name)
        return given.get(in_query, "") if value is None else value

    token = given.get("token", "")
    return Parameters(
        raw_key=parameter(b"x-api-key", "api_key"),
        user_id=parameter(b"x-user-id", "user_id"),
        chat_id=parameter(b"x-chat-id", "chat_id"),
        token=token,
        after=given.get("after", ""),
        origin=header(b"origin"),
        host=header(b"host") or "",
        # Asked where it may be a visitor's: keys have no bounds of an address.
        network=bounded_network(scope) if token else None,
    )


async def refuse_stranger(scope: dict[str, Any]) -> ApiError | None:
    """Count a handshake without a valid key or token.

    What it is refused with besides: its address has had its share, or calls this server by a foreign name.
    """
    return await strangers.refusal(scope) or _host_problem(scope)


def _host_problem(scope: dict[str, Any]) -> ApiError | None:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"]
    if len(hosts) == 1 and validate_host(split_domain_port(hosts[0])[0], settings.ALLOWED_HOSTS):
        return None
    return ApiError(
        INVALID_REQUEST, "The Host header is not one of this server's", fix="Check the address and the headers."
    )
