"""Recorded sessions are those of the shared uvicorn process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.client import Socket
from tests.websocket.conftest import model, staff

__all__ = ["closed_sockets", "model", "staff"]


@pytest.fixture
async def closed_sockets() -> AsyncIterator[None]:
    """Sockets that a test leaves open are closed in its own event loop."""
    yield
    await Socket.close_all()
