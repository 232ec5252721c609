"""A scripted model: a local server that behaves, or misbehaves, on demand.

It speaks chat completions (`/v1/chat/completions`) and Anthropic's Messages (`/v1/messages`), and does the same
on both (tests/support/model_wires.py).

    python -m tests.support.model_server --port 0        # the first line it prints is "port <N>"
    with run_in_process(log) as base_url: ...    # a process of its own; what OPENAI_BASE_URL takes
    async with ModelServer() as server: ...      # in this process: server.base_url, server.until(…)

What it says depends on nothing but the request, so a reply that is made again is the same again.

**Models.** The model `prompt` says back all it was told, any other one "You said: <message>".

**Scripts.** A last message that begins with a JSON object is a script: it says how to reply to it. Keys that
are not listed here are ignored, so a test may mark its messages.

| key | meaning | default |
|---|---|---|
| `say` | the text | the message itself |
| `repeat` | so many times the text | 1 |
| `tokens` | into how many tokens to cut the text | its words |
| `first_ms` | before the first token | 0 |
| `every_ms` | from one token to the next | 0 |
| `total_ms` | spread the tokens so that the whole reply takes exactly so long | |
| `hold` | a name: stop, and go on when `POST /release/<name>` comes, or came before | |
| `hold_after` | after how many tokens to stop | 1 |
| `hold_each` | stop after every token: the n-th goes on at `POST /release/<name>-<n>` | false |
| `usage` | `[input, output]`, or false for none | words read, tokens said |
| `calls` | tools to ask for first: for each round a list of `[name, arguments]`, a text as it is | |
| `before` | for each of these rounds, what is said before it asks | |
| `finish` | the finish_reason, or null for none | "stop" |
| `done` | whether `[DONE]` (`message_stop`) is sent | true |
| `raw` | a list of texts: the body, as it is, one write each, every `every_ms` | |
| `fail` | one of the below | |
| `after` | after how many tokens, for what fails in the middle | half of them |
| `fails` | so many times; when it is asked the same once more, it does not fail | always |
| `retry_after` | the header that goes with a status | |

**Failures** (`fail`). Instead of a stream: `http-<status>`, `redirect`, `html` and `json-error` (status 200),
`stall-headers` (no answer at all). Of the stream: `stall-first` (headers, then silence), `empty` (finishes without
text), `endless` (says the text over and over), `keep-open` (a whole reply whose body is never closed). In the middle:
`stall-middle`, `cut` (the connection is reset within an event), `close` (the body ends), `not-json`,
`not-completion`, `error-object`. Whatever an error tells holds CANARY, which must not get any further.

**Control.** `GET /calls?contains=<text>`: of the calls whose message contains that, how many there were (`count`), how
many are open (`open`) and what was asked (`calls`: the body of each, with its `path`, `question`, `authorization`,
`api_key` and `peer`).
`POST /release/<name>`. `POST /reset` forgets calls and releases.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from tests.support import embeddings_route
from tests.support.model_wires import Completions, Messages

CANARY = "canary-of-the-upstream"
IN_THE_MIDDLE = {"stall-middle", "cut", "close", "not-json", "not-completion", "error-object"}
FAILURES = {
    *IN_THE_MIDDLE,
    *("", "http", "redirect", "html", "json-error", "stall-headers", "stall-first", "empty", "endless", "keep-open"),
}


@dataclass
class Script:
    """The keys of a script, as the module's docstring has them."""

    say: str | None = None
    repeat: int = 1
    tokens: int | None = None
    first_ms: float = 0
    every_ms: float = 0
    total_ms: float | None = None
    hold: str | None = None
    hold_after: int = 1
    hold_each: bool = False
    usage: tuple[int, int] | Literal[False] | None = None
    calls: list[list[tuple[str, Any]]] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    finish: str | None = "stop"
    done: bool = True
    raw: list[str] | None = None
    fail: str = ""
    after: int | None = None
    fails: int | None = None
    retry_after: str | None = None

    def __post_init__(self) -> None:
        # A failure that does not exist would be a test of nothing.
        assert self.fail in FAILURES or self.fail.startswith("http-"), self.fail


KEYS = {field.name for field in fields(Script)}


def read_script(message: str) -> Script:
    """The script that a message begins with; one that does nothing special where there is none."""
    try:
        value, _ = json.JSONDecoder().raw_decode(message.lstrip())
    except ValueError:
        return Script()
    if not isinstance(value, dict):
        return Script()
    return Script(**{"say": message, **{key: value[key] for key in KEYS & value.keys()}})


def tokens_of(script: Script, model: str, messages: list[dict[str, str]]) -> list[str]:
    """What is said, token by token."""
    text = script.say
    if text is None:
        told = "\n".join(message["content"] for message in messages)
        text = told if model == "prompt" else f"You said: {messages[-1]['content']}"
    text *= script.repeat
    if script.tokens is None:
        return words(text)
    pieces = min(script.tokens, len(text))
    return [text[start:end] for start, end in pairwise(number * len(text) // pieces for number in range(pieces + 1))]


def words(text: str) -> list[str]:
    """A text in words, with the space around them."""
    return re.findall(r"\s*\S+\s*", text)


class ModelServer:
    """The server, for use inside a running event loop."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._calls: list[Call] = []
        self._released: set[str] = set()
        self._changed = asyncio.Condition()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post(Completions.path, self._answer)
        app.router.add_post(Messages.path, self._answer)
        app.router.add_post("/v1/embeddings", embeddings_route.answer)
        app.router.add_get("/calls", self._get_calls)
        app.router.add_post("/release/{name}", self._post_release)
        app.router.add_post("/reset", self._post_reset)
        # A handler whose client has gone is cancelled: that is how a closed stream is noticed.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> ModelServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    def report(self, contains: str = "") -> dict[str, Any]:
        """What `GET /calls` answers."""
        calls = [call for call in self._calls if contains in call.message]
        return {
            "count": len(calls),
            "open": sum(call.open for call in calls),
            "calls": [call.body for call in calls],
        }

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that the report tells is so."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def release(self, name: str) -> None:
        """Let replies that hold at this name go on, now and later."""
        self._released.add(name)
        await self.tell()

    def is_released(self, name: str) -> bool:
        """Whether replies need not hold at this name."""
        return name in self._released

    def asked(self, message: str) -> int:
        """How often this was asked so far."""
        return sum(call.message == message for call in self._calls)

    async def tell(self) -> None:
        """The report has changed."""
        async with self._changed:
            self._changed.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(self, request, await request.json())
        self._calls.append(call)
        await self.tell()
        try:
            return await call.answer()
        finally:
            call.open = False
            # Where the client has gone the handler is being cancelled, and who waits must hear of it all the same.
            await asyncio.shield(self.tell())

    async def _get_calls(self, request: web.Request) -> web.Response:
        return web.json_response(self.report(request.query.get("contains", "")))

    async def _post_release(self, request: web.Request) -> web.Response:
        await self.release(request.match_info["name"])
        return web.Response()

    async def _post_reset(self, request: web.Request) -> web.Response:
        self._calls.clear()
        self._released.clear()
        return web.Response()


class Call:
    """One request, and the answer that its script asks for."""

    def __init__(self, server: ModelServer, request: web.Request, body: dict[str, Any]) -> None:
        self.server = server
        self.request = request
        self.wire = (Messages if request.path == Messages.path else Completions)(body)
        self.message = self.wire.question()
        self.body = {
            **body,
            "path": request.path,
            "question": self.message,
            "authorization": request.headers.get("Authorization"),
            "api_key": request.headers.get("x-api-key"),
            "peer": request.transport.get_extra_info("peername") if request.transport else None,
        }
        self.open = True
        self.script = script = read_script(self.message)
        if script.fails is not None and server.asked(self.message) >= script.fails:
            script.fail = ""
        self.tokens = tokens_of(script, body["model"], self.wire.texts()) if script.fail != "empty" else []
        self.calls: list[tuple[str, Any]] = []
        if (done := self.wire.rounds()) < len(script.calls):
            self.calls = script.calls[done]
            self.tokens = words(script.before[done]) if done < len(script.before) else []
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        self.began = asyncio.get_running_loop().time()

    async def answer(self) -> web.StreamResponse:
        script = self.script
        if refusal := self._refusal():
            return refusal
        if script.fail == "stall-headers":
            await forever()
        await self.response.prepare(self.request)
        if script.fail == "stall-first":
            await forever()
        if script.raw is not None:
            for number, text in enumerate(script.raw):
                await self._wait_until(number * script.every_ms)
                await self._write(text)
        elif await self._say():
            await self._end()
        if script.fail == "keep-open":
            await forever()
        return self.response

    def _refusal(self) -> web.Response | None:
        """An answer that is no stream."""
        fail, _, status = self.script.fail.partition("-")
        error = json.dumps({"error": {"message": CANARY}})
        if fail == "http":
            headers = {"Retry-After": self.script.retry_after} if self.script.retry_after else {}
            return web.Response(status=int(status), text=error, content_type="application/json", headers=headers)
        if fail == "redirect":
            location = f"{self.server.anthropic_url}{self.wire.path}"
            return web.Response(status=307, headers={"Location": location})
        if fail == "html":
            return web.Response(text=f"<h1>{CANARY}</h1>", content_type="text/html")
        if self.script.fail == "json-error":
            return web.Response(text=error, content_type="application/json")
        return None

    async def _say(self) -> bool:
        """Say the tokens; whether that went well to the end."""
        script, tokens = self.script, self.tokens
        fails_after = len(tokens) // 2 if script.after is None else min(script.after, len(tokens))
        every = script.every_ms if script.total_ms is None else script.total_ms / max(1, len(tokens))
        for event in self.wire.begin(self._usage):
            await self._event(event)
        number = 0
        for token in cycle(tokens) if script.fail == "endless" else tokens:
            if script.fail in IN_THE_MIDDLE and number == fails_after:
                break
            await self._hold(after=number)
            await self._wait_until(script.first_ms + number * every)
            await self._event(self.wire.token(token))
            number += 1
        if script.fail in IN_THE_MIDDLE:
            await self._fail()
            return False
        await self._hold(after=number)
        await self._wait_until(script.total_ms or 0)
        return True

    async def _fail(self) -> None:
        fail = self.script.fail
        if fail == "stall-middle":
            await forever()
        elif fail == "cut":
            await self._write(self.wire.half())
            assert self.request.transport is not None
            self.request.transport.abort()
        elif fail == "not-json":
            await self._write("data: {broken " + CANARY + "\n\n")
        elif fail == "not-completion":
            await self._event([CANARY])
        elif fail == "error-object":
            await self._event(self.wire.error(CANARY))

    async def _end(self) -> None:
        for number, (name, arguments) in enumerate(self.calls):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            for event in self.wire.call(number, name, text):
                await self._event(event)
        for event in self.wire.finish("tool_calls" if self.calls else self.script.finish, self._usage):
            await self._event(event)
        if self.script.done:
            await self._write(self.wire.done())

    @property
    def _usage(self) -> tuple[int, int] | None:
        """What is reported to have been read and written."""
        usage = self.script.usage
        if usage is None:
            return sum(len(said["content"].split()) for said in self.wire.texts()), len(self.tokens)
        return usage or None

    async def _hold(self, *, after: int) -> None:
        name = self.script.hold
        if name is not None and self.script.hold_each:
            await self.server.until(lambda: after == 0 or self.server.is_released(f"{name}-{after}"))
            return
        # A reply with fewer tokens holds once it has said them all.
        if name is None or after != min(self.script.hold_after, len(self.tokens)):
            return
        await self.server.until(lambda: self.server.is_released(name))

    async def _wait_until(self, milliseconds: float) -> None:
        due = self.began + milliseconds / 1000
        if (pause := due - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(pause)

    async def _event(self, event: Any) -> None:
        await self._write(self.wire.frame(event))
        await asyncio.sleep(0)  # an endless reply must not keep the server from everything else

    async def _write(self, text: str) -> None:
        await self.response.write(text.encode())


async def forever() -> None:
    """Until the client has gone, which cancels this."""
    await asyncio.Event().wait()


@contextmanager
def run_in_process(log: Path) -> Iterator[str]:
    """The server in a process of its own: its base URL. What it has to complain about goes to `log`."""
    command = [sys.executable, "-m", "tests.support.model_server"]
    root = Path(__file__).resolve().parents[2]
    with log.open("wb") as complaints:
        process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=complaints, text=True)
    assert process.stdout is not None
    try:
        name, _, port = process.stdout.readline().partition(" ")
        assert name == "port", f"the model server did not start:\n{log.read_text()}"
        yield f"http://127.0.0.1:{int(port)}/v1"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


async def main(port: int) -> None:
    async with ModelServer(port) as server:
        print(f"port {server.port}", flush=True)
        await forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A scripted model for tests.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(main(parser.parse_args().port))
