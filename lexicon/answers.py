"""How is a failure answered over HTTP?

Two faces, two shapes, one table (lexicon/errors.py). The path tells the face.
"""

from __future__ import annotations

import logging

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse

from lexicon import errors
from lexicon.errors import ApiError
from lexicon.payload import write_json

logger = logging.getLogger(__name__)

CUSTOMER_FACE = "/api/v1/customer/"


def is_customer_face(request: HttpRequest) -> bool:
    """Whether the request came in by the customer API."""
    return request.path_info.startswith(CUSTOMER_FACE)


def json_response(body: object, status: int = 200) -> HttpResponse:
    """`body` as a JSON answer."""
    return HttpResponse(write_json(body), status=status, content_type="application/json")


def error_response(request: HttpRequest, error: ApiError) -> HttpResponse:
    """The answer that tells of `error`, in the shape of the face that was called."""
    if is_customer_face(request):
        response = json_response(error.customer_body(), error.customer_status)
    else:
        response = json_response(error.lexicon_body(), error.kind.http or 500)
    for name, value in error.headers.items():
        response[name] = value
    response.error_code = error.kind.code  # type: ignore[attr-defined]  # for lexicon/access.py
    return response


def error_of(exception: BaseException) -> ApiError:
    """What a client is told of `exception`. One that nobody foresaw is logged with its trace."""
    if isinstance(exception, ApiError):
        return exception
    if isinstance(exception, RequestDataTooBig):
        return ApiError(errors.PAYLOAD_TOO_LARGE)
    if isinstance(exception, OperationalError | InterfaceError):
        logger.warning("the database does not answer: %s", type(exception).__name__)
        return errors.unavailable()
    logger.error("unforeseen failure", exc_info=exception)
    return ApiError(errors.INTERNAL_ERROR)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    if isinstance(exception, RequestDataTooBig):
        return error_response(request, ApiError(errors.PAYLOAD_TOO_LARGE))
    # SuspiciousOperation's texts name settings and addresses; the client is told no more than this.
    message = "The Host header is not one of this server's" if isinstance(exception, SuspiciousOperation) else None
    return error_response(request, ApiError(errors.INVALID_REQUEST, message, fix="Check the address and the headers."))


def not_found(request: HttpRequest, exception: Http404) -> HttpResponse:
    """Django's handler404."""
    return error_response(request, ApiError(errors.NOT_FOUND))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500; Django has logged the trace."""
    return error_response(request, ApiError(errors.INTERNAL_ERROR))
