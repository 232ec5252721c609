"""Clients that come back, on the shared uvicorn process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.client import Socket
from tests.websocket.conftest import model, new_tenant

__all__ = ["closed_sockets", "model", "new_tenant"]


@pytest.fixture(autouse=True)
async def closed_sockets() -> AsyncIterator[None]:
    """Sockets that a test leaves open are closed in its own event loop."""
    yield
    await Socket.close_all()
