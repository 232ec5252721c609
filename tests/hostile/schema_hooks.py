"""What does schemathesis call a failure that is none? Each with the reason why no document could say otherwise.

Loaded by schemathesis in its own environment (tests/hostile/schema.py), never by the tests.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis

#: Its codes: what the document forbids was accepted, what it allows was refused, an answer is not of its schema.
_ACCEPTED, _REFUSED, _SHAPE = "ST201", "ST202", "ST108"


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether the failure counts."""
    return not any(is_none(failure, case, response) for is_none in (_header, _number, _stream, _repeat, _rating))


def _header(failure: Any, case: Any, response: Any) -> bool:
    """A header that the document does not list was not refused: proxies and browsers add theirs to any request."""
    return failure.code == _ACCEPTED and "in header - object with unexpected properties" in failure.message


def _number(failure: Any, case: Any, response: Any) -> bool:
    """10**300 is refused, as an integer beyond 64 bits, and 1e300 is not: to JSON Schema they are one number."""
    return failure.code == _REFUSED and _error(response).get("error_message") == "Integers must fit 64 bits"


def _stream(failure: Any, case: Any, response: Any) -> bool:
    """It takes `schema` of a stream for that of each event, as OpenAPI 3.2 has it; in 3.1 it is the whole body's.

    tests/documents holds each event against the document.
    """
    return failure.code == _SHAPE and response.headers.get("content-type") == ["text/event-stream"]


def _repeat(failure: Any, case: Any, response: Any) -> bool:
    """An Idempotency-Key that a request before had used with another body."""
    return failure.code == _REFUSED and response.status_code == 422 and "IDEMPOTENCY_CONFLICT" in response.text


def _rating(failure: Any, case: Any, response: Any) -> bool:
    """The id of a message that is no reply of the agent."""
    fields = _error(response).get("details", {}).get("fields", {})
    return failure.code == _REFUSED and case.method == "PATCH" and list(fields) == ["message_id"]


def _error(response: Any) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
