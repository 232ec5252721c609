"""Which operations are there besides the two faces?"""

from __future__ import annotations

from core import errors
from lexicon import VERSION
from lexicon.documents.operation import DOCUMENTS, HEALTH, Operation, Success, in_query
from lexicon.documents.shapes import STRING, Schema, constant, fields

ANYTHING: Schema = {"type": "object", "additionalProperties": True}

OTHER_ROUTES: tuple[Operation, ...] = (
    Operation(
        "get", "/healthz", "isAlive", HEALTH, "Whether the process lives",
        answers={
            200: Success(
                "It does, and is of this version.",
                fields({"status": constant("alive"), "version": STRING}),
                {"status": "alive", "version": VERSION},
            )
        },
    ),
    Operation(
        "get", "/readyz", "isReady", HEALTH, "Whether the process should be sent requests",
        answers={
            200: Success(
                "It should.",
                fields(
                    {"status": constant("ready"), "redis": STRING},
                    {"restarted_tasks": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}},
                ),
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
        answers={200: Success("OpenAPI 3.1.", ANYTHING, also_as=("application/yaml",))},
        errors=(errors.INVALID_REQUEST,),
        parameters=(in_query("format", {"type": "string", "enum": ["json", "yaml"], "default": "json"}),),
    ),
    Operation(
        "get", "/api/docs/", "readDocs", DOCUMENTS, "This document as a page",
        answers={200: Success("A page.", STRING, media_type="text/html; charset=utf-8")},
    ),
    Operation(
        "get", "/api/asyncapi.yaml", "getAsyncApi", DOCUMENTS, "The WebSocket's document",
        answers={200: Success("AsyncAPI 3.", ANYTHING, media_type="application/yaml")},
    ),
)  # fmt: skip
