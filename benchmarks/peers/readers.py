"""How do others read what a model streams? One reply each, text by text, with a client that is kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import cache

import anthropic
import httpx
import openai


@cache
def _openai(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none")


@cache
def _anthropic(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="none")


@cache
def _httpx(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=60)


async def openai_sdk(url: str, question: str) -> AsyncIterator[str]:
    """OpenAI's own package."""
    stream = await _openai(url).chat.completions.create(
        model="bench",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield text


async def anthropic_sdk(url: str, question: str) -> AsyncIterator[str]:
    """Anthropic's own package."""
    stream = await _anthropic(url).messages.create(
        model="bench", max_tokens=4096, messages=[{"role": "user", "content": question}], stream=True
    )
    async for event in stream:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            yield event.delta.text


async def httpx_by_hand(url: str, question: str) -> AsyncIterator[str]:
    """Line by line."""
    body = {
        "model": "bench",
        "messages": [{"role": "user", "content": question}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with _httpx(url).stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                choices = json.loads(line[6:])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    yield text
