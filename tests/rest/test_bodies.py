"""Bodies as a whole: how long one may be, however its length is told, and what it must say it is."""

from __future__ import annotations

import pytest

from tests.rest.body_endpoints import Door
from tests.rest.wire import assert_refused


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_over_1_mib_is_refused_unread(door: Door, chunked: bool) -> None:
    body = f"{{{door.needed}}}".encode()
    too_long = body + b" " * ((1 << 20) - len(body) + 1)
    before = door.stored()
    answer = door.send([too_long[:1000], too_long[1000:]] if chunked else too_long)
    assert_refused(answer, 413 if door.face == "lexicon" else 400, "PAYLOAD_TOO_LARGE", face=door.face)
    assert door.stored() == before


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_of_1_mib_is_taken(door: Door, chunked: bool) -> None:
    body = f"{{{door.needed}}}".encode()
    longest = body + b" " * ((1 << 20) - len(body))
    answer = door.send([longest[:1000], longest[1000:]] if chunked else longest)
    assert answer.status_code in (200, 201)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"],
)
def test_a_body_that_does_not_say_it_is_json_is_refused(door: Door, content_type: str) -> None:
    before = door.stored()
    answer = door.send(f"{{{door.needed}}}".encode(), content_type)
    # The customer face documents 400 for every body it can not read.
    status = 415 if door.face == "lexicon" else 400
    assert_refused(answer, status, "UNSUPPORTED_MEDIA_TYPE", face=door.face)
    assert door.stored() == before


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;"])
def test_json_is_json_with_a_charset_and_in_capitals(door: Door, content_type: str) -> None:
    assert door.send(f"{{{door.needed}}}".encode(), content_type).status_code in (200, 201)
