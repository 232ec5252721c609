"""The documents are valid, whole, and readable by anybody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.urls import get_resolver
from jsonschema import Draft7Validator, Draft202012Validator

from core.errors import ERRORS
from lexicon.documents import asyncapi, openapi
from lexicon.documents.events import FRAMES
from tests.documents.contract import at, check_event, check_frame, operations, problems, references
from tests.support.actors import Actor
from tests.support.servers import Server

#: No database decides it.
pytestmark = pytest.mark.once

HERE = Path(__file__).parent
DOCUMENTS = {"openapi": openapi.document, "asyncapi": asyncapi.document}


def get(server: Server, path: str, **options: Any) -> httpx.Response:
    return httpx.get(server.http + path, verify=False, timeout=30, **options)


def test_the_openapi_document_is_valid() -> None:
    schema = json.loads((HERE / "openapi-3.1.schema.json").read_text())
    assert list(Draft202012Validator(schema).iter_errors(openapi.document())) == []


def test_the_asyncapi_document_is_valid() -> None:
    schema = json.loads((HERE / "asyncapi-3.0.schema.json").read_text())
    assert list(Draft7Validator(schema).iter_errors(asyncapi.document())) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_somewhere_and_nothing_is_left_over(name: str) -> None:
    document = DOCUMENTS[name]()
    found = references(document)
    for reference in found:
        at(document, reference)
    schemas = {f"#/components/schemas/{part}" for part in document["components"]["schemas"]}
    assert schemas <= found


def schemas_in(node: Any) -> list[dict[str, Any]]:
    """Every schema of a document, wherever it stands."""
    if isinstance(node, list):
        return [schema for item in node for schema in schemas_in(item)]
    if not isinstance(node, dict):
        return []
    own = [node[name] for name in ("schema", "payload", "x-event-data") if name in node]
    return own + [schema for name, value in node.items() if name != "examples" for schema in schemas_in(value)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_schema_is_one(name: str) -> None:
    document = DOCUMENTS[name]()
    schemas = schemas_in(document) + list(document["components"]["schemas"].values())
    assert len(schemas) > 10
    for schema in schemas:
        Draft202012Validator.check_schema(schema)


def routes() -> dict[str, str]:
    """The addresses of the API as the URLconf has them, by their form without a slash at the end."""
    found = {}
    for entry in get_resolver().url_patterns:
        text = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", str(entry.pattern)).removeprefix("^").replace("\\.", ".")
        path = re.sub(r"(/\?)?\\Z$", "", text).rstrip("/")
        if path.partition("/")[0] in ("api", "healthz", "readyz"):
            found["/" + path] = "/" + path.replace("{", "").replace("}", "")
    return found


def test_the_document_has_every_route_and_method_and_nothing_else(acme: Actor) -> None:
    headers = {"X-API-Key": acme.tenant_key, "Authorization": f"Bearer {acme.customer_key}"}
    taken = set()
    for route, target in routes().items():
        answer = httpx.request("PROPFIND", acme.base + target, headers=headers, verify=False)
        # Whoever asks whether a process lives may ask as they like.
        methods = "GET" if route in ("/healthz", "/readyz") else answer.headers["Allow"]
        taken |= {(route, method) for method in methods.split(", ") if method != "HEAD"}
    described = {(path.rstrip("/"), method.upper()) for method, path, _ in operations().values()}
    assert taken == described


def test_the_document_names_every_parameter_of_an_address() -> None:
    for method, path, described in operations().values():
        named = {parameter["name"] for parameter in described["parameters"] if parameter.get("in") == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path)), (method, path)


def test_every_error_of_the_table_is_in_a_document() -> None:
    told = json.dumps([openapi.document(), asyncapi.document()])
    assert [kind.code for kind in ERRORS if kind.code not in told] == []


def test_every_example_is_as_its_schema_says() -> None:
    held = 0
    for _, _, described in operations().values():
        contents = [answer.get("content", {}) for answer in described["responses"].values()]
        for content in [*contents, described.get("requestBody", {}).get("content", {})]:
            for media in content.values():
                examples = [example["value"] for example in media.get("examples", {}).values()]
                for example in [*examples, *([media["example"]] if "example" in media else [])]:
                    assert problems(example, media["schema"], openapi.document()) == []
                    held += 1
    assert held > 100
    for name, (_, _, frame) in FRAMES.items():
        assert check_frame(frame) == [], name


def test_a_field_that_no_document_names_is_noticed() -> None:
    event = {"event_type": "pong", "timestamp": "2026-01-31T09:30:00Z"}
    assert check_event(event) == []
    assert check_event({**event, "new": 1}) != []
    assert check_event({**event, "event_type": "new"}) != []


# --- As they are served ---


def test_the_openapi_document_is_served_as_json_and_as_yaml(server: Server) -> None:
    as_json, as_yaml = get(server, "/api/schema/"), get(server, "/api/schema?format=yaml")
    assert as_json.headers["Content-Type"] == "application/json"
    assert as_yaml.headers["Content-Type"] == "application/yaml"
    assert as_json.json() == yaml.safe_load(as_yaml.text) == openapi.document()


def test_the_asyncapi_document_is_served_as_yaml(server: Server) -> None:
    answer = get(server, "/api/asyncapi.yaml")
    assert answer.headers["Content-Type"] == "application/yaml"
    told = yaml.safe_load(answer.text)
    assert told.pop("servers")["here"]["host"] == f"127.0.0.1:{server.port}"
    assert told == {name: part for name, part in asyncapi.document().items() if name != "servers"}


def test_a_form_that_there_is_not_is_refused(server: Server) -> None:
    answer = get(server, "/api/schema/?format=xml")
    assert answer.status_code == 400
    assert list(answer.json()["details"]["fields"]) == ["format"]


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/", "/api/asyncapi.yaml"])
def test_documents_need_no_key_and_count_against_no_limit(live: Callable[..., Actor], path: str) -> None:
    nobody_may = live("Acme", rest_per_minute=0)
    for headers in ({}, {"X-API-Key": nobody_may.tenant_key}):
        answer = httpx.get(nobody_may.base + path, headers=headers, verify=False)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert httpx.post(nobody_may.base + path, verify=False).json()["error_code"] == "METHOD_NOT_ALLOWED"


def test_the_page_loads_only_this_servers_own_files(server: Server) -> None:
    page = get(server, "/api/docs/")
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    loaded = re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.text)
    assert len(loaded) >= 4
    for address in loaded:
        assert address.startswith("/"), address
        assert get(server, address).status_code == 200
