"""Where did the time of a request or a reply go? OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT says whom to tell.

Without it nothing is imported and a span is one comparison. Spans carry ids, states and numbers, never text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar, cast

from core.observability import logs

F = TypeVar("F", bound=Callable[..., Any])

_tracer: Any = None
_provider: Any = None


def start(endpoint: str) -> None:
    """Send spans to this OTLP/HTTP endpoint from now on; the SDK reads further OTEL_ variables itself."""
    global _tracer, _provider
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "lexicon"}))
    _provider = TracerProvider(resource=resource)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint.rstrip("/") + "/v1/traces")))
    _tracer = _provider.get_tracer("lexicon")


def stop() -> None:
    """Send what still waits; takes as long as the collector does."""
    if _provider is not None:
        _provider.shutdown()


def describe(**attributes: str | int | float | None) -> None:
    """Add to the span that runs now. None is left out."""
    if _tracer is not None:
        from opentelemetry import trace

        current = trace.get_current_span()
        current.set_attributes({f"lexicon.{name}": value for name, value in attributes.items() if value is not None})


class span:
    """A span around a `with`, a child of the one that runs, with the ids the log's lines carry."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._current: Any = None

    def __enter__(self) -> span:
        if _tracer is not None:
            self._current = _tracer.start_as_current_span(
                self._name, record_exception=False, set_status_on_exception=False
            )
            self._current.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._current is not None:
            from opentelemetry import trace

            describe(**logs.about())
            if kind is not None and issubclass(kind, Exception):
                # The name of its class: its words may hold what a user said.
                trace.get_current_span().set_status(trace.StatusCode.ERROR, kind.__name__)
            self._current.__exit__(None, None, None)


def spanned(name: str) -> Callable[[F], F]:
    """Puts a span around each call of a function, be it a coroutine function or not."""

    def around(function: F) -> F:
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def run(*args: Any, **kwargs: Any) -> Any:
                with span(name):
                    return await function(*args, **kwargs)

        else:

            @wraps(function)
            def run(*args: Any, **kwargs: Any) -> Any:
                with span(name):
                    return function(*args, **kwargs)

        return cast(F, run)

    return around
