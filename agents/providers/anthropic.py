"""How does a model behind Anthropic's Messages API answer? (`anthropic:<model>`)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from agents.contract import Exchange, Request
from agents.prompts import read_object, system_text
from agents.providers.remote import RemoteAgent
from agents.providers.stream_accumulator import StreamAccumulator

#: The version of the API that this file speaks.
VERSION = "2023-06-01"
#: Longest reply, in tokens, where the tenant says nothing: the API wants a number, and the oldest models that are
#: still served take no higher one.
OUTPUT_TOKENS = 4096

_FINISH_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
#: Errors within a stream that pass: what would have been 529, 500, 504 and 429 as a status.
_PASSING = ("overloaded_error", "api_error", "timeout_error", "rate_limit_error")
#: What stands where a message must, and there was none.
_NOTHING = "(nothing)"


class Message(StreamAccumulator):
    """A streamed message."""

    def __init__(self) -> None:
        super().__init__()
        self._read_tokens: Any = None

    def read(self, event: Any) -> Any:
        """What one event says. Kinds that nobody knows yet say nothing."""
        kind = event.get("type")
        if kind == "content_block_delta":
            if self.finish_reason is None:
                return self._read_delta(event)
        elif kind == "content_block_start":
            if self.finish_reason is None:
                return self._read_block(event)
        elif kind == "message_start":
            self._count(event["message"].get("usage") or {}, written=None)
        elif kind == "message_delta":
            if reason := event["delta"].get("stop_reason"):
                self.finish(_FINISH_REASONS.get(str(reason), "stop"))
            usage = event.get("usage") or {}
            self._count(usage, written=usage.get("output_tokens"))
        elif kind == "message_stop":
            self.finish("stop")
        elif kind == "error":
            self.fail("it reported an error", is_passing=(event.get("error") or {}).get("type") in _PASSING)
        return ""

    def _read_delta(self, event: Any) -> Any:
        delta = event["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            return delta["text"]
        if kind == "input_json_delta":
            self.argue(event["index"], delta["partial_json"])
        return ""

    def _read_block(self, event: Any) -> Any:
        block = event["content_block"]
        if block["type"] == "tool_use":
            self.ask(event["index"], block.get("id"), block["name"])
            # What streams its arguments begins with none.
            if block.get("input") and not self.failure:
                self.argue(event["index"], orjson.dumps(block["input"]).decode())
        return block.get("text") or ""

    def _count(self, usage: Any, *, written: Any) -> None:
        """The tokens read are told at the beginning, and again at the end where there is news; those written then."""
        if (read := usage.get("input_tokens")) is not None:
            cached = [usage.get(f"cache_{how}_input_tokens") or 0 for how in ("creation", "read")]
            self._read_tokens = read + sum(cached)
        if written is not None:
            self.count(self._read_tokens, written)


class AnthropicAgent(RemoteAgent):
    """A model of Anthropic's, or of anybody who speaks as they do. `base_url` is what stands before `/v1/messages`."""

    prefix = "anthropic"
    path = "/v1/messages"
    wire = Message

    def headers(self, api_key: str) -> Mapping[str, str]:
        """The version, and the key where there is one."""
        return {"anthropic-version": VERSION, **({"x-api-key": api_key} if api_key else {})}

    def body(self, request: Request) -> dict[str, Any]:
        """The request as the API wants it."""
        body: dict[str, Any] = {
            "model": self._name,
            "max_tokens": request.limits.output_tokens or OUTPUT_TOKENS,
            "system": system_text(request),
            "messages": _messages(request),
            "stream": True,
        }
        if request.tools:
            body["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in request.tools
            ]
        elif request.exchanges:
            # Where tools were used, the API wants to know them, though none may be asked for any more.
            used = dict.fromkeys(call.name for exchange in request.exchanges for call in exchange.calls)
            body["tools"] = [{"name": name, "input_schema": {"type": "object"}} for name in used]
            body["tool_choice"] = {"type": "none"}
        return body


def _messages(request: Request) -> list[dict[str, Any]]:
    """The chat in order, the question, and what it led to: user and assistant in turn, the user first."""
    said: list[tuple[str, str]] = [(turn.role, turn.content) for turn in request.history]
    said.append(("user", request.question))
    if said[0][0] != "user":
        said.insert(0, ("user", _NOTHING))
    messages: list[dict[str, Any]] = []
    for role, content in said:
        if not messages or messages[-1]["role"] != role:
            messages.append({"role": role, "content": []})
        # What was said on its own stays on its own, also where one side speaks twice.
        messages[-1]["content"].append({"type": "text", "text": content})
    for exchange in request.exchanges:
        messages += _exchanged(exchange)
    return messages


def _exchanged(exchange: Exchange) -> list[dict[str, Any]]:
    """A round of tools. Arguments that were no JSON object are left out: the API takes nothing else."""
    said: list[dict[str, Any]] = [{"type": "text", "text": exchange.said}] if exchange.said.strip() else []
    said += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": read_object(call.arguments) or {}}
        for call in exchange.calls
    ]
    given = [
        {"type": "tool_result", "tool_use_id": call.id, "content": result}
        for call, result in zip(exchange.calls, exchange.results, strict=True)
    ]
    return [{"role": "assistant", "content": said}, {"role": "user", "content": given}]
