"""Is what was recorded what the documents say, and nothing else?"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator, FormatChecker

from lexicon.documents import asyncapi, openapi
from lexicon.documents.events import EVENTS, FRAMES
from tests.support.client import read_sse

#: Headers that come with any answer over HTTP and that no document lists.
COMMON_HEADERS = {
    "allow",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "date",
    "referrer-policy",
    "transfer-encoding",
    "vary",
    "x-accel-buffering",
    "x-content-type-options",
    "x-frame-options",
}


def closed(node: Any) -> Any:
    """The schema, with no fields in its objects but those it lists. Conditions are left as they are."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    shut = {name: value if name in ("if", "then", "examples") else closed(value) for name, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        shut.setdefault("additionalProperties", False)
    return shut


def problems(value: Any, schema: dict[str, Any], document: dict[str, Any], *, exact: bool = True) -> list[str]:
    """What is wrong with the value; `exact` allows no fields that the schema does not list."""
    components = document["components"]
    whole = {**schema, "components": {"schemas": components["schemas"]}}
    validator = Draft202012Validator(closed(whole) if exact else whole, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@cache
def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """The operations of the OpenAPI document by their name: method, path, description."""
    return {
        described["operationId"]: (method, path, described)
        for path, methods in openapi.document()["paths"].items()
        for method, described in methods.items()
    }


def documented() -> set[tuple[str, int, str]]:
    """Every answer the document knows: operation, status, error code ("" of a success)."""
    found = set()
    for name, (_, _, described) in operations().items():
        for status, answer in described["responses"].items():
            examples = answer.get("content", {}).get("application/json", {}).get("examples", {"": None})
            found |= {(name, int(status), code) for code in examples}
    return found


def check_answer(name: str, answer: httpx.Response) -> tuple[int, str]:
    """Hold an answer against the operation of this name: its status and error code ("" of a success)."""
    document = openapi.document()
    described = operations()[name][2]["responses"].get(str(answer.status_code))
    assert described is not None, f"{name} does not document {answer.status_code}: {answer.text}"
    _check_headers(described["headers"], answer.headers)
    if "content" not in described:
        assert answer.content == b""
        return answer.status_code, ""
    media_type = answer.headers["Content-Type"]
    content = described["content"][media_type]
    if media_type == "text/event-stream":
        _check_stream(content["x-event-data"], answer.content)
        return answer.status_code, ""
    read = {"application/json": json.loads, "application/yaml": yaml.safe_load}.get(media_type, str)
    body = read(answer.text)
    assert problems(body, content["schema"], document) == []
    if "examples" not in content:
        return answer.status_code, ""
    return answer.status_code, body.get("error_code") or body["code"]


def _check_stream(schema: dict[str, Any], body: bytes) -> None:
    events = read_sse(body)
    assert events[-1][1] == "[DONE]"
    for _, data in events[:-1]:
        assert problems(data, schema, openapi.document()) == [], data


def _check_headers(described: dict[str, Any], given: httpx.Headers) -> None:
    components = openapi.document()["components"]["headers"]
    headers = {
        name.lower(): components[header["$ref"].rpartition("/")[2]] if "$ref" in header else header
        for name, header in described.items()
    }
    assert {name for name, header in headers.items() if header.get("required")} <= set(given), given
    assert set(given) - set(headers) - COMMON_HEADERS == set()
    for name in set(given) & set(headers):
        schema = headers[name]["schema"]
        value = int(given[name]) if schema["type"] == "integer" else given[name]
        assert problems(value, schema, openapi.document()) == [], name


def check_request(name: str, body: Any) -> list[str]:
    """What is wrong with the body of a request, by the document."""
    described = operations()[name][2]["requestBody"]
    return problems(body, described["content"]["application/json"]["schema"], openapi.document())


def check_event(event: dict[str, Any]) -> list[str]:
    """What is wrong with an event of the WebSocket, by the document."""
    messages = asyncapi.document()["components"]["messages"]
    if event["event_type"] not in EVENTS:
        return [f"{event['event_type']} is not documented"]
    return problems(event, messages[event["event_type"]]["payload"], asyncapi.document())


def check_frame(frame: Any) -> list[str]:
    """What is wrong with a client's frame: nothing, where one of the documented frames is like it."""
    messages = asyncapi.document()["components"]["messages"]
    found = [problems(frame, messages[name]["payload"], asyncapi.document()) for name in FRAMES]
    return [] if [] in found else [json.dumps(found)]


def references(node: Any) -> set[str]:
    """All that a document refers to."""
    return set(re.findall(r'"\$ref": "(#/[^"]+)"', json.dumps(node)))


def at(document: dict[str, Any], reference: str) -> Any:
    """What a reference leads to. Raises KeyError where that is nothing."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/")]
    return found
