"""The two wires that the scripted model speaks: what a request says, and how an answer is put."""

from __future__ import annotations

import json
from typing import Any

Event = dict[str, Any]
Block = dict[str, Any]


class Completions:
    """Chat completions, as OpenAI and many others speak them."""

    path = "/v1/chat/completions"

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    def texts(self) -> list[dict[str, str]]:
        """Who said what, the system's and the tools' too."""
        return [{"role": said["role"], "content": said["content"] or ""} for said in self.body["messages"]]

    def question(self) -> str:
        """What the user said last."""
        asked = [said["content"] for said in self.body["messages"] if said["role"] == "user"]
        return asked[-1] if asked else self.body["messages"][-1]["content"]

    def rounds(self) -> int:
        """How often tools have been used since."""
        return sum(1 for said in self.body["messages"] if said.get("tool_calls"))

    def begin(self, usage: tuple[int, int] | None) -> list[Event]:
        return [self._chunk({"role": "assistant", "content": ""})]

    def token(self, text: str) -> Event:
        return self._chunk({"content": text})

    def call(self, number: int, name: str, arguments: str) -> list[Event]:
        """A tool that is asked for, its arguments in two parts."""
        half = len(arguments) // 2
        asked = {"index": number, "id": f"call-{self.rounds()}-{number}", "type": "function"}
        return [
            self._chunk({"tool_calls": [{**asked, "function": {"name": name, "arguments": ""}}]}),
            self._chunk({"tool_calls": [{"index": number, "function": {"arguments": arguments[:half]}}]}),
            self._chunk({"tool_calls": [{"index": number, "function": {"arguments": arguments[half:]}}]}),
        ]

    def finish(self, reason: str | None, usage: tuple[int, int] | None) -> list[Event]:
        events = [self._chunk({}, finish=reason)] if reason is not None else []
        if usage and self.body.get("stream_options", {}).get("include_usage"):
            report = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
            events.append({"object": "chat.completion.chunk", "choices": [], "usage": report})
        return events

    def done(self) -> str:
        return "data: [DONE]\n\n"

    def frame(self, event: Any) -> str:
        return f"data: {json.dumps(event)}\n\n"

    def error(self, message: str) -> Event:
        return {"error": {"message": message}}

    def half(self) -> str:
        return 'data: {"choices": [{"index": 0, "del'

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"object": "chat.completion.chunk", "model": self.body["model"], "choices": [choice]}


class Messages:
    """Anthropic's Messages."""

    path = "/v1/messages"
    _reasons = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}

    def __init__(self, body: dict[str, Any]) -> None:
        # What Anthropic answers with 400 is a mistake here, too.
        self.said: list[tuple[str, Block]] = [
            (message["role"], block) for message in body["messages"] for block in message["content"]
        ]
        roles = [message["role"] for message in body["messages"]]
        assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))], roles
        assert all(block["type"] != "text" or block["text"].strip() for _, block in self.said)
        assert body["max_tokens"] > 0
        assert body.get("tools") or not self._of_type("tool_use")
        used = [block["id"] for block in self._of_type("tool_use")]
        assert used == [block["tool_use_id"] for block in self._of_type("tool_result")]
        assert all(isinstance(block["input"], dict) for block in self._of_type("tool_use"))
        self.body = body

    def texts(self) -> list[dict[str, str]]:
        """Who said what, the system's and the tools' too."""
        said = [(role, block.get("text") or block.get("content") or "") for role, block in self.said]
        return [{"role": role, "content": text} for role, text in [("system", self.body["system"]), *said]]

    def question(self) -> str:
        """What the user said last."""
        return [block["text"] for role, block in self.said if role == "user" and block["type"] == "text"][-1]

    def rounds(self) -> int:
        """How often tools have been used since."""
        return sum(
            1 for message in self.body["messages"] if any(block["type"] == "tool_use" for block in message["content"])
        )

    def _of_type(self, kind: str) -> list[Block]:
        return [block for _, block in self.said if block["type"] == kind]

    def begin(self, usage: tuple[int, int] | None) -> list[Event]:
        counted = {"input_tokens": usage[0], "output_tokens": 1} if usage else {}
        message = {"id": "msg", "type": "message", "role": "assistant", "content": [], "usage": counted}
        block = {"type": "text", "text": ""}
        return [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "ping"},
        ]

    def token(self, text: str) -> Event:
        delta = {"type": "text_delta", "text": text}
        return {"type": "content_block_delta", "index": 0, "delta": delta}

    def call(self, number: int, name: str, arguments: str) -> list[Event]:
        """A tool that is asked for, its arguments in two parts."""
        half = len(arguments) // 2
        index = number + 1
        block = {"type": "tool_use", "id": f"toolu-{self.rounds()}-{number}", "name": name, "input": {}}
        parts = [{"type": "input_json_delta", "partial_json": part} for part in (arguments[:half], arguments[half:])]
        return [
            {"type": "content_block_start", "index": index, "content_block": block},
            *({"type": "content_block_delta", "index": index, "delta": part} for part in parts),
            {"type": "content_block_stop", "index": index},
        ]

    def finish(self, reason: str | None, usage: tuple[int, int] | None) -> list[Event]:
        delta = {"stop_reason": self._reasons.get(reason or "", reason), "stop_sequence": None}
        counted = {"output_tokens": usage[1]} if usage else {}
        return [{"type": "content_block_stop", "index": 0}, {"type": "message_delta", "delta": delta, "usage": counted}]

    def done(self) -> str:
        return self.frame({"type": "message_stop"})

    def frame(self, event: Any) -> str:
        kind = event["type"] if isinstance(event, dict) else "message"
        return f"event: {kind}\ndata: {json.dumps(event)}\n\n"

    def error(self, message: str) -> Event:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}

    def half(self) -> str:
        return 'event: content_block_delta\ndata: {"type": "content_bl'
