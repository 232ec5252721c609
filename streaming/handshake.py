"""What did a client say when it opened its WebSocket?"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from chats.presence import Parameters
from lexicon.errors import AUTH_ERROR, ApiError

#: A proxy, and daphne, may have written a repeated header as one, with commas. A user id may hold one of its own.
_WITHOUT_COMMA = (b"x-api-key", b"x-chat-id")


def read_parameters(scope: dict[str, Any]) -> Parameters:
    """The parameters of a handshake, from the headers or the query; a header wins.

    Raises ApiError AUTH_ERROR where one header came twice with different values: a proxy and the
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
            raise ApiError(AUTH_ERROR, f"The header {label} came twice with different values", fix="Send it once.")
        return values.pop().decode("utf-8", "surrogateescape").strip() if values else None

    def parameter(name: bytes, in_query: str) -> str:
        value = header(name)
        return given.get(in_query, "") if value is None else value

    return Parameters(
        raw_key=parameter(b"x-api-key", "api_key"),
        user_id=parameter(b"x-user-id", "user_id"),
        chat_id=parameter(b"x-chat-id", "chat_id"),
        token=given.get("token", ""),
        after=given.get("after", ""),
        origin=header(b"origin"),
        host=header(b"host") or "",
    )
