"""Which model do the relays relay? One that costs next to nothing and says each token in a write of its own.

    python -m benchmarks.upstream        # the first line it prints is "port <N>"

`POST /v1/chat/completions` answers as OpenAI does and `POST /v1/messages` as Anthropic does, always as a stream.
The last message is the script, so it passes through any relay: `{"tokens": 300, "every_ms": 10, "first_ms": 0}`.
Token n comes `first_ms` + n × `every_ms` after the question, whatever became of those before it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import cycle, islice
from typing import Any, cast

import uvloop

from benchmarks.places import ROOT

_WORDS = (
    'The"',
    " parcel",
    " arrives",
    " within",
    " three",
    " días",
    ",",
    " tax",
    " included",
    ".\n",
    " Ü",
    "ber",
    " 5 €",
)
_CHUNK = {
    "id": "chatcmpl-CGkMbYyUOWn9QxCk2nQ6AWtHzvAhA",
    "object": "chat.completion.chunk",
    "created": 1758061731,
    "model": "bench",
    "service_tier": "default",
    "system_fingerprint": "fp_560af6e559",
}
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"


def tokens(count: int) -> list[str]:
    """What the model says in so many tokens."""
    return list(islice(cycle(_WORDS), count))


@cache
def completion(count: int) -> tuple[bytes, list[bytes], bytes]:
    """A reply in OpenAI's events: what comes before its tokens, each token, and what comes after them."""

    def event(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
        return b"data: %b\n\n" % json.dumps({**_CHUNK, "choices": choices, "usage": usage}).encode()

    def choice(delta: dict[str, str], finish: str | None = None) -> bytes:
        return event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])

    usage = event([], {"prompt_tokens": 20, "completion_tokens": count, "total_tokens": 20 + count})
    return (
        _written(choice({"role": "assistant", "content": ""})),
        [_written(choice({"content": token})) for token in tokens(count)],
        _written(choice({}, "stop")) + _written(usage) + _written(b"data: [DONE]\n\n") + _LAST,
    )


@cache
def message(count: int) -> tuple[bytes, list[bytes], bytes]:
    """As `completion`, in Anthropic's events."""

    def event(kind: str, **fields: Any) -> bytes:
        return _written(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode())

    begun = {"id": "msg_01", "type": "message", "role": "assistant", "model": "bench", "content": []}
    begun |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 20, "output_tokens": 1}}
    return (
        event("message_start", message=begun)
        + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + event("ping"),
        [event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in tokens(count)],
        event("content_block_stop", index=0)
        + event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"input_tokens": 20, "output_tokens": count},
        )
        + event("message_stop")
        + _LAST,
    )


def _written(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


class Connection(asyncio.Protocol):
    """One connection, which asks for one reply after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is about to ask."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """A part of a request; once it is whole it is answered."""
        self._received += data
        head, complete, body = self._received.partition(b"\r\n\r\n")
        if not complete:
            return
        first, *lines = head.split(b"\r\n")
        if not head.startswith(b"POST "):
            # The LiteLLM proxy asks which models there are.
            self._received = body
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
        if len(body) >= length:
            self._received = body[length:]
            self._answer(first, json.loads(body[:length]))

    def _answer(self, first: bytes, asked: dict[str, Any]) -> None:
        content = asked["messages"][-1]["content"]
        script = json.loads(content if isinstance(content, str) else content[-1]["text"])
        reply = message if b"/messages" in first else completion
        before, tokens, after = reply(script["tokens"])
        self._transport.write(_HEAD + before)
        begun = self._loop.time() + script.get("first_ms", 0) / 1000
        self._say(tokens, after, 0, begun, script.get("every_ms", 0) / 1000)

    def _say(self, tokens: list[bytes], after: bytes, number: int, begun: float, every: float) -> None:
        if self._transport.is_closing():
            return
        if (due := begun + number * every) <= self._loop.time():
            self._transport.write(tokens[number])
            number += 1
            due += every
        if number == len(tokens):
            self._transport.write(after)
        else:
            self._loop.call_at(due, self._say, tokens, after, number, begun, every)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def run_in_process() -> Iterator[str]:
    """The model in a process of its own: its base URL, without `/v1`."""
    command = [sys.executable, "-m", "benchmarks.upstream"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline().removeprefix('port '))}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    uvloop.run(main())
