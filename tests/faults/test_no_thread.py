"""Who waits in vain for a thread of the database's is told to come back; who only waits long is served."""

from __future__ import annotations

import time

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from core.db import executor
from core.errors import SERVICE_UNAVAILABLE, ApiError
from lexicon.urls import pooled


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has any patience, and the database has not answered for long."""
    monkeypatch.setattr(executor, "WAITING_SECONDS", -1.0)
    monkeypatch.setattr(executor, "_answered_at", 0.0)


@pytest.mark.usefixtures("hanging")
async def test_a_unit_that_waited_too_long_is_not_begun() -> None:
    begun: list[bool] = []
    with pytest.raises(ApiError) as refused:
        await executor.in_thread(begun.append, True)
    assert refused.value.kind is SERVICE_UNAVAILABLE
    assert not begun


async def test_a_unit_that_waited_long_while_the_database_answered_others_is_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executor, "WAITING_SECONDS", -1.0)
    monkeypatch.setattr(executor, "_answered_at", time.monotonic() + 60)
    assert await executor.in_thread(lambda: "begun") == "begun"


@pytest.mark.usefixtures("hanging")
async def test_its_request_is_answered_503(rf: RequestFactory) -> None:
    answer = await pooled(lambda request: HttpResponse())(rf.get("/api/v1/chats/"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
