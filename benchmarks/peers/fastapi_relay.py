"""A relay as a good developer writes it in an afternoon: FastAPI, httpx, one event for each token.

Nothing is stored, nobody is asked who he is, nothing is limited. `POST /chat` `{"message": …}` streams
`data: {"text": …}` and at last `data: [DONE]`.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

UPSTREAM = os.environ["UPSTREAM"]


class Question(BaseModel):
    """What a client asks."""

    message: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client, so one pool of connections, for all requests."""
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/chat")
async def chat(question: Question) -> StreamingResponse:
    """The reply, as it comes."""
    return StreamingResponse(relay(question.message), media_type="text/event-stream")


async def relay(message: str) -> AsyncIterator[str]:
    """An event for each token of the model's."""
    body = {
        "model": "bench",
        "messages": [{"role": "user", "content": message}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with app.state.client.stream("POST", f"{UPSTREAM}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            data = line[6:]
            if data == "[DONE]":
                break
            choices = json.loads(data)["choices"]
            if choices and (text := choices[0]["delta"].get("content")):
                yield f"data: {json.dumps({'text': text})}\n\n"
    yield "data: [DONE]\n\n"
