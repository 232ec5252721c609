"""The least a server can do: uvicorn, one WebSocket app, the same words at the same pace, nothing stored.

What Lexicon costs above this is what it does: limits, credits, history, leases.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import orjson

WORDS = 120
PAUSE = 1 / float(os.environ.get("BUILTIN_WORDS_PER_SECOND", "40"))


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer every frame with WORDS words as the tokens of a reply."""
    if scope["type"] != "websocket":
        return
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        for number in range(WORDS):
            await asyncio.sleep(PAUSE)
            event = {
                "event_type": "message_stream_token",
                "timestamp": datetime.now(UTC),
                "chat_id": "00000000-0000-0000-0000-000000000000",
                "token": "word ",
                "message_id": "00000000-0000-0000-0000-000000000000",
                "offset": number * 5,
            }
            await send({"type": "websocket.send", "text": orjson.dumps(event).decode()})
        await send({"type": "websocket.send", "text": '{"event_type":"message_stream_ended"}'})
