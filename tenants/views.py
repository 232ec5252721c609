"""What do the views of the API's routes have in common?"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.viewsets import ViewSet

from tenants.middleware import caller
from tenants.models import ApiKey


class KeyedViewSet(ViewSet):
    """Views that nobody enters without a live key of their face's kind."""

    #: Without OPTIONS, so that `Allow` does not name what is answered 405.
    http_method_names = ["get", "post", "patch", "delete", "head"]

    key: ApiKey

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """The framework's request. It takes a body of no declared length (a chunked one) for none."""
        if "CONTENT_LENGTH" not in request.META:
            request.META["CONTENT_LENGTH"] = str(len(request.body))
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let nobody in without a key."""
        super().initial(request, *args, **kwargs)
        self.key = caller(request._request)
