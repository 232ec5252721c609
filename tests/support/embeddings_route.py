"""A model of embeddings for tests: texts with the same words, or words that mean the same, get vectors alike.

`POST /v1/embeddings`, added to the scripted model (tests/support/model_server.py). The model `fails` answers 500,
`hangs` never answers, `lies` answers something else. Every text it was asked for is in `asked`.
"""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256
from typing import Any

from aiohttp import web

DIMENSIONS = 256
#: Words that mean the same to it, and to nobody else.
MEANINGS = {"automobile": "car", "vehicle": "car", "physician": "doctor"}

asked: list[dict[str, Any]] = []


def vector_of(text: str) -> list[float]:
    """The same for the same words in any order, not of length 1."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        place = int.from_bytes(sha256(MEANINGS.get(word, word).encode()).digest()[:4], "big")
        vector[place % DIMENSIONS] += 2.0
    return vector if any(vector) else [1.0, *vector[1:]]


async def answer(request: web.Request) -> web.Response:
    body = await request.json()
    asked.append({**body, "authorization": request.headers.get("Authorization")})
    if body["model"] == "fails":
        return web.Response(status=500, text="canary-of-the-upstream")
    if body["model"] == "hangs":
        await asyncio.Event().wait()
    if body["model"] == "lies":
        return web.json_response({"data": [{"index": 0, "embedding": ["canary-of-the-upstream"]}]})
    vectors = [{"index": i, "embedding": vector_of(text)} for i, text in enumerate(body["input"])]
    # The order is not promised.
    return web.json_response({"object": "list", "data": vectors[::-1], "model": body["model"]})
