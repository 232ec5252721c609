"""How are the documents served? They need no key and count against no limit."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

import orjson
import yaml
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from core.error_responses import error_response
from core.errors import ApiError, invalid
from lexicon.documents import asyncapi, openapi

#: Nothing but this server's own files, and no code in the page. The renderer writes styles into it, no scripts.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]]


def readable(view: Callable[[HttpRequest], HttpResponse]) -> View:
    """An asynchronous view of a synchronous one that waits for nothing; what it raises is answered."""

    async def read(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except ApiError as problem:
            return error_response(request, problem)

    return read


@readable
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document, as JSON or (`?format=yaml`) as YAML."""
    wanted = request.GET.get("format", "json")
    if wanted not in ("json", "yaml"):
        raise invalid(format="must be json or yaml")
    if wanted == "yaml":
        return HttpResponse(_as_yaml(openapi.document), content_type="application/yaml")
    return HttpResponse(_as_json(openapi.document), content_type="application/json")


@readable
def asyncapi_yaml(request: HttpRequest) -> HttpResponse:
    """The AsyncAPI document."""
    return HttpResponse(_as_yaml(asyncapi.document), content_type="application/yaml")


@readable
def docs(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document as a page."""
    response = HttpResponse(render_to_string("documents/docs.html"))
    response["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    return response


@cache
def _as_json(document: Callable[[], dict[str, Any]]) -> bytes:
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2)


@cache
def _as_yaml(document: Callable[[], dict[str, Any]]) -> str:
    return yaml.dump(document(), Dumper=_Readable, sort_keys=False, allow_unicode=True, width=110)


class _Readable(yaml.SafeDumper):
    """YAML for people: long texts line by line, and what occurs twice written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Readable.add_representer(str, _Readable.represent_str)
