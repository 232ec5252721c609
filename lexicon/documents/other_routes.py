"""Which operations are there besides the two faces?"""

from __future__ import annotations

from lexicon import errors
from lexicon.documents.operation import DOCUMENTS, HEALTH, Operation, Success, in_query
from lexicon.documents.shapes import STRING, constant, fields

OTHER_ROUTES: tuple[Operation, ...] = (
    Operation(
        "get", "/healthz", "isAlive", HEALTH, "Whether the process lives",
        answers={200: Success("It does.", fields({"status": constant("alive")}), {"status": "alive"})},
    ),
    Operation(
        "get", "/readyz", "isReady", HEALTH, "Whether the process should be sent requests",
        answers={
            200: Success(
                "It should.",
                fields({"status": constant("ready"), "redis": STRING}),
                {"status": "ready", "redis": "not configured"},
            ),
            503: Success(
                "It should not: it is stopping, or `problem` keeps it from working.",
                fields({"status": {"enum": ["not ready", "stopping"]}}, {"problem": STRING}),
                {"status": "not ready", "problem": "the database does not answer"},
            ),
        },
    ),
    Operation(
        "get", "/api/schema/", "getOpenApi", DOCUMENTS, "This document",
        answers={200: Success("OpenAPI 3.1.", {"type": "object", "additionalProperties": True})},
        errors=(errors.INVALID_REQUEST,),
        parameters=(in_query("format", {"type": "string", "enum": ["json", "yaml"], "default": "json"}),),
    ),
    Operation(
        "get", "/api/docs/", "readDocs", DOCUMENTS, "This document as a page",
        answers={200: Success("A page.", STRING, media_type="text/html; charset=utf-8")},
    ),
    Operation(
        "get", "/api/asyncapi.yaml", "getAsyncApi", DOCUMENTS, "The WebSocket's document",
        answers={200: Success("AsyncAPI 3.", STRING, media_type="application/yaml")},
    ),
)  # fmt: skip
