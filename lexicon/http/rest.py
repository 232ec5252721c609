"""How does the REST framework read, write and fail here?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import set_rollback

from core import errors
from core.error_responses import error_of, error_response, method_not_allowed
from core.errors import ApiError
from core.payload import MAX_BYTES, read_object, write_json


class JSONRenderer(BaseRenderer):
    """Every answer is JSON."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """`data` as JSON, or nothing for an answer without a body."""
        return b"" if data is None else write_json(data)


class JSONGateParser(BaseParser):
    """Every body is a JSON object that passed the gate; an empty one counts as {}."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        """The object. Raises ApiError where it is none."""
        raw = stream.read(MAX_BYTES + 1)
        return read_object(raw) if raw.strip() or len(raw) > MAX_BYTES else {}


class AlwaysJSON(BaseContentNegotiation):
    """Whatever the Accept header asks for, the answer is JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The JSON parser, where the body says that it is JSON."""
        content_type = (request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == content_type), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The JSON renderer."""
        return renderers[0], renderers[0].media_type


def answer_exception(exception: Exception, context: dict[str, Any]) -> HttpResponse:
    """The REST framework's exception handler: every failure has the face's one shape."""
    set_rollback()
    request = context["request"]._request
    if isinstance(exception, Http404 | exceptions.NotFound):
        error = ApiError(errors.NOT_FOUND)
    elif isinstance(exception, exceptions.MethodNotAllowed):
        return method_not_allowed(request, context["view"].allowed_methods)
    elif isinstance(exception, exceptions.UnsupportedMediaType):
        error = ApiError(errors.UNSUPPORTED_MEDIA_TYPE)
    else:
        error = error_of(exception)
    return error_response(request, error)
