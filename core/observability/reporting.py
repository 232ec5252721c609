"""Who is told of failures that nobody foresaw? Sentry, where SENTRY_DSN names one.

What is logged as an error is reported: its message, the exceptions' classes and where they come from, and the ids
of what it was about. No request, no local variable, no breadcrumb; without SENTRY_DSN nothing is imported.
"""

from __future__ import annotations

import logging
from typing import Any

from core.observability import logs


def start(dsn: str) -> None:
    """Report from now on. SENTRY_ENVIRONMENT and SENTRY_RELEASE are read by the SDK itself."""
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        dsn=dsn,
        # Only these: the others look into requests, arguments and queries.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
            AtexitIntegration(callback=lambda pending, timeout: None),
            DedupeIntegration(),
            ExcepthookIntegration(),
        ],
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        max_breadcrumbs=0,
        auto_session_tracking=False,
        before_send=_without_secrets,
    )


def _without_secrets(event: Any, hint: dict[str, Any]) -> Any:
    """The event, with nothing in it that the log would not show."""
    for name in ("extra", "request", "user", "breadcrumbs", "modules"):
        event.pop(name, None)
    if entry := event.get("logentry"):
        event["logentry"] = {"message": logs.redact(str(entry.get("formatted") or entry.get("message", "")))}
    texts = _texts(hint.get("exc_info"))
    for told in event.get("exception", {}).get("values", ()):
        told["value"] = texts.get(told.get("type"), "[withheld]")
        told.pop("mechanism", None)
    event["tags"] = logs.about()
    return event


def _texts(exc_info: Any) -> dict[str, str]:
    """What each exception of the chain may say, by its class."""
    texts: dict[str, str] = {}
    current = exc_info[1] if isinstance(exc_info, tuple) else None
    while current is not None and type(current).__name__ not in texts:
        texts[type(current).__name__] = logs.exception_text(current)
        current = current.__cause__ or current.__context__
    return texts
