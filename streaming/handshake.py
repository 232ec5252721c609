"""What did a client say when it opened its WebSocket?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from lexicon.errors import AUTH_ERROR, ApiError

#: A proxy, and daphne, may have written a repeated header as one, with commas. A user id may hold one of its own.
_WITHOUT_COMMA = (b"x-api-key", b"x-chat-id")


@dataclass(frozen=True, slots=True)
class Parameters:
    """The connection parameters; "" where one is missing."""

    raw_key: str
    user_id: str
    chat_id: str


def read_parameters(scope: dict[str, Any]) -> Parameters:
    """The parameters of a handshake, from the headers or the query; a header wins.

    Raises ApiError AUTH_ERROR where one header came twice with different values: a proxy and the
    server behind it might each believe another of them.
    """
    # Bytes that are no UTF-8 become lone surrogates here, which the checks of each value refuse.
    query = scope["query_string"].decode("ascii", "surrogateescape")
    given = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))

    def parameter(header: bytes, name: str) -> str:
        values = {value for key, value in scope["headers"] if key.lower() == header}
        if header in _WITHOUT_COMMA:
            values = {part.strip() for value in values for part in value.split(b",")}
        if len(values) > 1:
            label = header.decode().title()
            raise ApiError(AUTH_ERROR, f"The header {label} came twice with different values", fix="Send it once.")
        if values:
            return values.pop().decode("utf-8", "surrogateescape").strip()
        return given.get(name, "")

    return Parameters(
        parameter(b"x-api-key", "api_key"), parameter(b"x-user-id", "user_id"), parameter(b"x-chat-id", "chat_id")
    )
