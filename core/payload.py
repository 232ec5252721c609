"""How is JSON read from outside, and written to it?

`read_json` is the one gate every body and frame passes before any code looks at it. It refuses
what would break something behind it: PostgreSQL raises on NUL, JSON encoders on lone surrogates
and on integers beyond 64 bits, recursive code on deep nesting.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson

from core.errors import INVALID_REQUEST, PAYLOAD_TOO_LARGE, ApiError

#: Largest body or frame, in bytes (CONTRACT: 1 MiB).
MAX_BYTES = 1024 * 1024
#: Pages that take files, each with the largest body it takes, in bytes: a file of 10 MiB, and the form around it.
_FORMS = {"/admin/agents/article/import/": 10 * MAX_BYTES + 64 * 1024}
#: Deepest nesting of arrays and objects.
MAX_DEPTH = 32
#: Largest metadata object, in bytes of compact UTF-8 JSON.
MAX_METADATA_BYTES = 16 * 1024

_TWO_TO_63 = 2.0**63


def max_body(path: str) -> int:
    """The largest body of a request to this path, in bytes."""
    return _FORMS.get(path, MAX_BYTES)


def write_json(value: Any) -> bytes:
    """`value` as compact UTF-8 JSON; datetimes as ISO 8601 UTC with `Z`, microseconds left out when zero."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its objects' keys: what makes two requests the same."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def read_json(raw: bytes | str) -> Any:
    """The value that `raw` holds. Of duplicate keys the last counts.

    Raises ApiError: PAYLOAD_TOO_LARGE over 1 MiB; INVALID_REQUEST for anything that is not JSON, and
    for NUL or lone surrogates anywhere (keys too), NaN and infinities, integers beyond 64 bits, and
    nesting deeper than 32.
    """
    if len(raw) > MAX_BYTES:
        raise ApiError(PAYLOAD_TOO_LARGE)
    try:
        value = orjson.loads(raw)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise ApiError(INVALID_REQUEST, f"Not valid JSON: {error}", fix="Send one JSON object.") from None
    _check(value, raw)
    return value


def read_object(raw: bytes | str) -> dict[str, Any]:
    """As `read_json`, for a body or frame that must be a JSON object."""
    value = read_json(raw)
    if not isinstance(value, dict):
        raise ApiError(INVALID_REQUEST, "The JSON must be an object", fix="Send one JSON object.")
    return value


def _check(value: Any, raw: bytes | str) -> None:
    """Walk a parsed value level by level, so that depth costs no recursion."""
    level = [value]
    depth = 0
    integers_checked = False
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if "\0" in item:
                    raise ApiError(INVALID_REQUEST, "Text must not contain the NUL character")
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, float) and abs(item) >= _TWO_TO_63 and not integers_checked:
                # orjson reads an integer beyond 64 bits as a float; only the text tells them apart.
                _check_integers(raw)
                integers_checked = True
        if any(isinstance(item, dict | list) for item in level):
            depth += 1
            if depth > MAX_DEPTH:
                raise ApiError(INVALID_REQUEST, f"The JSON is nested deeper than {MAX_DEPTH} levels")
        level = below


def _check_integers(raw: bytes | str) -> None:
    try:
        json.loads(raw, parse_int=_small_integer)
    except RecursionError:
        raise ApiError(INVALID_REQUEST, f"The JSON is nested deeper than {MAX_DEPTH} levels") from None


def _small_integer(digits: str) -> int:
    # A 64-bit integer has at most 19 digits and a sign; longer ones are not even converted.
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise ApiError(INVALID_REQUEST, "Integers must fit 64 bits")
    return int(digits)


def text_problem(value: object, *, longest: int, blank: bool = False) -> str | None:
    """What keeps `value` from being a text of 1 to `longest` characters, or None if nothing does.

    With `blank` the empty text and white space pass too. NUL is looked for here as well, since
    not every text comes through the JSON gate.
    """
    if not isinstance(value, str):
        return "must be a string"
    if not blank and not value.strip():
        return "must not be empty or only white space"
    if len(value) > longest:
        return f"must be at most {longest} characters"
    if "\0" in value or not _encodable(value):
        return "must not contain NUL or lone surrogates"
    return None


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_metadata(value: object) -> dict[str, Any]:
    """`value` as a metadata object; absent or null counts as empty.

    Raises ApiError INVALID_REQUEST where it is not an object or is over 16 KiB.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ApiError(INVALID_REQUEST, "metadata must be an object", fields={"metadata": "must be an object"})
    if len(write_json(value)) > MAX_METADATA_BYTES:
        raise ApiError(
            INVALID_REQUEST, "metadata is over 16 KiB", fields={"metadata": "must be at most 16 KiB of JSON"}
        )
    return value
