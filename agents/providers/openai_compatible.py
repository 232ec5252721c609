"""How does a model behind an OpenAI-compatible API answer?

Chat completions over HTTP (`openai:<model>`): OpenAI's own, and everybody's who speaks as they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from agents.contract import Exchange, Request
from agents.prompts import read_object, system_text
from agents.providers.remote import RemoteAgent
from agents.providers.stream_accumulator import StreamAccumulator

#: What we know of why a model stops; anything else is as good as "stop".
_FINISH_REASONS = {"length": "length", "content_filter": "content_filter"}
#: OpenAI's own newer models refuse `max_tokens`; everybody else's servers know nothing else.
_OWN_HOSTS = ("api.openai.com", ".openai.azure.com")


class Completion(StreamAccumulator):
    """A streamed chat completion."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[Any, int] = {}  # the call that each index stands for

    def read(self, event: Any) -> Any:
        """What one chunk says."""
        text: Any = ""
        if event.get("error"):
            self.fail("it reported an error")
            return text
        if choices := event.get("choices"):
            choice = choices[0]
            if self.finish_reason is None and (delta := choice.get("delta")):
                text = delta.get("content") or delta.get("refusal") or ""
                if calls := delta.get("tool_calls"):
                    self._read_calls(calls)
            if reason := choice.get("finish_reason"):
                self.finish(_FINISH_REASONS.get(str(reason), "stop"))
        if usage := event.get("usage"):
            self.count(usage.get("prompt_tokens"), usage.get("completion_tokens"))
        return text

    def _read_calls(self, calls: list[Any]) -> None:
        for number, call in enumerate(calls):
            index = call.get("index", number)
            key = self._open.get(index)
            # Some servers give each call an id of its own, and all of them the same index or none.
            if key is None or call.get("id") not in (None, "", self._asked[key].id):
                key = self._open[index] = len(self._asked)
                self.ask(key, call.get("id"), call["function"]["name"])
            if not self.failure and (arguments := call["function"].get("arguments")):
                self.argue(key, arguments)


class OpenAICompatibleAgent(RemoteAgent):
    """A model of OpenAI's, or of anybody who speaks as they do.

    `base_url` is what stands before `/chat/completions`. Where `api_key` is empty, none is sent.
    """

    prefix = "openai"
    path = "/chat/completions"
    wire = Completion

    def headers(self, api_key: str) -> Mapping[str, str]:
        """The key, where there is one."""
        return {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def body(self, request: Request) -> dict[str, Any]:
        """The request as the API wants it."""
        body: dict[str, Any] = {
            "model": self._name,
            "messages": chat_messages(request),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.limits.output_tokens:
            is_own = (urlsplit(self._url).hostname or "").endswith(_OWN_HOSTS)
            body["max_completion_tokens" if is_own else "max_tokens"] = request.limits.output_tokens
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
        return body


def chat_messages(request: Request) -> list[dict[str, Any]]:
    """The request as messages: one from the system, then the chat in order, the question, and what it led to."""
    return [
        {"role": "system", "content": system_text(request)},
        *({"role": turn.role, "content": turn.content} for turn in request.history),
        {"role": "user", "content": request.question},
        *(message for exchange in request.exchanges for message in _exchanged(exchange)),
    ]


def _exchanged(exchange: Exchange) -> list[dict[str, Any]]:
    """A round of tools. Arguments that were no JSON object are left out: some servers read them again."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments if read_object(call.arguments) else "{}"},
        }
        for call in exchange.calls
    ]
    return [
        {"role": "assistant", "content": exchange.said, "tool_calls": calls},
        *(
            {"role": "tool", "tool_call_id": call.id, "content": result}
            for call, result in zip(exchange.calls, exchange.results, strict=True)
        ),
    ]
