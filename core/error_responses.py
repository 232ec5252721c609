"""How is a failure answered over HTTP?

Two faces, two shapes, one table (core/errors.py). The path tells the face.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string

from core import errors
from core.errors import ApiError
from core.payload import write_json

logger = logging.getLogger(__name__)

CUSTOMER_FACE = "/api/v1/customer/"
ADMIN = "/admin/"

#: What Django and the REST framework raise over a request that nothing here could have read.
_MALFORMED = (SuspiciousOperation, BadRequest, MultiPartParserError, UnreadablePostError)
#: What of them a client is told in particular; of the others their texts name settings and addresses.
_TOLD_OF_MALFORMED: dict[type[Exception], str] = {
    DisallowedHost: "The Host header is not one of this server's",
    TooManyFieldsSent: "The request has too many parameters",
    TooManyFilesSent: "The request has too many files",
    MultiPartParserError: "The body is not the form that its Content-Type says",
    UnreadablePostError: "The body ended before its end",
}
_FIX_MALFORMED = "Check the address, the headers and the body."


def is_customer_face(request: HttpRequest) -> bool:
    """Whether the request came in by the customer API."""
    return request.path_info.startswith(CUSTOMER_FACE)


def json_response(body: object, status: int = 200) -> HttpResponse:
    """`body` as a JSON answer."""
    return HttpResponse(write_json(body), status=status, content_type="application/json")


def error_response(request: HttpRequest, error: ApiError, *, status: int | None = None) -> HttpResponse:
    """The answer that tells of `error`, in the shape of the face that was called, with the table's HTTP status.

    `status` is another one, where a page needs it.
    """
    if is_customer_face(request):
        response = json_response(error.customer_body(), status or error.customer_status)
    else:
        response = json_response(error.lexicon_body(), status or error.kind.http or 500)
    for name, value in error.headers.items():
        response[name] = value
    response.error_code = error.kind.code  # type: ignore[attr-defined]  # for lexicon/http/access_log.py
    return response


def method_not_allowed(request: HttpRequest, allowed: Iterable[str]) -> HttpResponse:
    """The answer to a method that the address does not take, with those it takes in `Allow`."""
    message = f"The method {request.method} is not allowed here"
    response = error_response(request, ApiError(errors.METHOD_NOT_ALLOWED, message))
    response["Allow"] = ", ".join(allowed)
    return response


def error_of(exception: BaseException) -> ApiError:
    """What a client is told of `exception`. One that nobody foresaw is logged with its trace."""
    if isinstance(exception, ApiError):
        return exception
    if isinstance(exception, RequestDataTooBig):
        return ApiError(errors.PAYLOAD_TOO_LARGE)
    if isinstance(exception, _MALFORMED):
        return malformed(_TOLD_OF_MALFORMED.get(type(exception), "The request can not be read"))
    if isinstance(exception, OperationalError | InterfaceError):
        logger.warning("the database does not answer: %s", type(exception).__name__)
        return errors.unavailable()
    logger.error("unforeseen failure", exc_info=exception)
    return ApiError(errors.INTERNAL_ERROR)


def malformed(message: str) -> ApiError:
    """The INVALID_REQUEST of a request that is wrong as HTTP, before any field of it is looked at."""
    return ApiError(errors.INVALID_REQUEST, message, fix=_FIX_MALFORMED)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    return error_response(request, error_of(exception))


def forbidden(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """Django's handler403. What the exception says is for the person to read."""
    return _forbidden(
        request,
        str(exception) or "Your account may not do this",
        "Ask a superuser for the permission. Flags, groups, permissions, other people's passwords and superusers are "
        "theirs alone to change.",
    )


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW: a form came without the token of the page it belongs to."""
    return _forbidden(
        request,
        "The form's CSRF token is missing, or is not the one of your browser's cookie",
        "Reload the page and send it again. Your browser must let this site set cookies.",
    )


def _forbidden(request: HttpRequest, message: str, fix: str) -> HttpResponse:
    """403: a page for people in the admin, the one shape elsewhere."""
    if request.path_info.startswith(ADMIN) and "text/html" in request.headers.get("Accept", ""):
        # Without the request: Django calls this in the event loop, where nothing may ask for the session or the user.
        return HttpResponse(render_to_string("admin/forbidden.html", {"title": message, "fix": fix}), status=403)
    return error_response(request, ApiError(errors.INVALID_REQUEST, message, fix=fix), status=403)


def not_found(request: HttpRequest, exception: Http404) -> HttpResponse:
    """Django's handler404."""
    return error_response(request, ApiError(errors.NOT_FOUND))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500; Django has logged the trace."""
    return error_response(request, ApiError(errors.INTERNAL_ERROR))
