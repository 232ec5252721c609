"""What is every failure?"""

from __future__ import annotations

from typing import Any, ClassVar


class LexiconError(Exception):
    """Anything that went wrong: a failure the service told of, or that it could not be reached.

    `status` is the HTTP status or, of a refused WebSocket, its close code; `fix` says what to do;
    `retry_after` is in seconds; `fields` names each bad field; `request_id` is for the service's operator.
    """

    code: str = ""
    default_fix: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        details = details or {}
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.status = status
        self.fix: str = details.get("fix") or self.default_fix
        self.fields: dict[str, str] = details.get("fields") or {}
        self.retry_after: float | None = details.get("retry_after", retry_after)
        self.request_id = request_id

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.code}: {self.message}", self.fix) if part)


class Unreachable(LexiconError):
    """The service did not answer, or something in between answered for it."""

    code = "UNREACHABLE"
    default_fix = "Check the address and whether the service runs, then try again."
