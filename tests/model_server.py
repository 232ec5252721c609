"""A scripted model that speaks the OpenAI chat completions protocol over real HTTP, for tests.

    python -m tests.model_server [--port N]      prints "port N" as its first line

What it does is told by the question itself (the last user message), so that several processes, and the
same process after a restart, get the same text for the same message. A question that starts with a JSON
object is a script, all of it optional:

    say           the text (default: the question); `tokens` cuts it into so many deltas (default: words),
                  `repeat` says it so often
    every_ms      pause before each delta (default 0), `first_ms` before the first one
    hold          a name: after `hold_after` deltas (default 1) it waits for POST /release/<name>
    finish        the finish_reason (default "stop"); null: none is sent
    usage         false: no usage is reported
    fail          how it misbehaves, after `after` deltas (default: half of them):
                  http-500, http-401, http-404, http-429  answered with that status
                  html, json-error                        200 with a body that is no stream
                  not-json, error-object                  a chunk that is not JSON, an error in the stream
                  stall-first, stall-middle               silence until the client leaves
                  cut                                     the connection is reset within a chunk
                  close                                   the body ends without finish_reason and [DONE]
                  keep-open                               [DONE], but the body stays open
                  empty                                   no delta at all
                  endless                                 the text is repeated until the client leaves

Anything else is answered with "You said: " and the question.

GET /calls answers `{"count", "open", "calls": [{"question", "messages", "model", "authorization"}]}`, with
`?contains=TEXT` only of calls whose question contains it; POST /reset forgets them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

ROOT = Path(__file__).resolve().parent.parent


class Model:
    """What the server remembers."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.open: dict[int, str] = {}
        self.held: dict[str, asyncio.Event] = {}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_get("/calls", self.report)
        app.router.add_post("/reset", self.reset)
        app.router.add_post("/release/{name}", self.release)
        return app

    async def report(self, request: web.Request) -> web.Response:
        wanted = request.query.get("contains", "")
        calls = [call for call in self.calls if wanted in call["question"]]
        still_open = sum(wanted in question for question in self.open.values())
        return web.json_response({"count": len(calls), "open": still_open, "calls": calls})

    async def reset(self, request: web.Request) -> web.Response:
        self.calls.clear()
        return web.json_response({})

    async def release(self, request: web.Request) -> web.Response:
        self._gate(request.match_info["name"]).set()
        return web.json_response({})

    def _gate(self, name: str) -> asyncio.Event:
        return self.held.setdefault(name, asyncio.Event())

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        question = [message["content"] for message in body["messages"] if message["role"] == "user"][-1]
        self.calls.append(
            {
                "question": question,
                "messages": body["messages"],
                "model": body["model"],
                "authorization": request.headers.get("Authorization"),
            }
        )
        script = read_script(question)
        number = id(request)
        self.open[number] = question
        try:
            return await self._answer(request, body, script)
        finally:
            del self.open[number]

    async def _answer(self, request: web.Request, body: dict[str, Any], script: dict[str, Any]) -> web.StreamResponse:
        fail = script.get("fail", "")
        if fail.startswith("http-"):
            status = int(fail.removeprefix("http-"))
            return web.json_response({"error": {"message": "the upstream's own words"}}, status=status)
        if fail == "html":
            return web.Response(text="<html>the upstream's own words</html>", content_type="text/html")
        if fail == "json-error":
            return web.json_response({"error": {"message": "the upstream's own words"}})

        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        deltas = cut(script)
        broken_at = script.get("after", len(deltas) // 2) if fail else None
        if fail == "stall-first":
            broken_at = 0
        await asyncio.sleep(script.get("first_ms", 0) / 1000)
        said = 0
        while True:
            for delta in [] if fail == "empty" else deltas:
                if said == broken_at and await self._misbehave(response, request, fail):
                    return response
                if "hold" in script and said == script.get("hold_after", 1):
                    await self._gate(script["hold"]).wait()
                await asyncio.sleep(script.get("every_ms", 0) / 1000)
                await response.write(
                    chunk({"choices": [{"index": 0, "delta": {"content": delta}, "finish_reason": None}]})
                )
                said += 1
            if fail != "endless":
                break
        if fail in ("close", "stall-first", "stall-middle", "cut", "not-json", "error-object"):
            await self._misbehave(response, request, fail)
            return response
        finish = script.get("finish", "stop")
        if finish is not None:
            await response.write(chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
        if script.get("usage", True) and body.get("stream_options", {}).get("include_usage"):
            read = sum(len(message["content"].split()) for message in body["messages"])
            usage = {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}
            await response.write(chunk({"choices": [], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
        if fail == "keep-open":
            await asyncio.Event().wait()
        return response

    async def _misbehave(self, response: web.StreamResponse, request: web.Request, fail: str) -> bool:
        """Break the stream as the script says; True where nothing may follow."""
        match fail:
            case "stall-first" | "stall-middle":
                await asyncio.Event().wait()
            case "close":
                return True
            case "cut":
                await response.write(b'data: {"choices": [{"index": 0, "del')
                assert request.transport is not None
                request.transport.abort()
                return True
            case "not-json":
                await response.write(b"data: the upstream's own words\n\n")
                return True
            case "error-object":
                await response.write(chunk({"error": {"message": "the upstream's own words", "code": 500}}))
                return True
        return False


def read_script(question: str) -> dict[str, Any]:
    """The script a question starts with, or one that echoes it."""
    if question.startswith("{"):
        try:
            script, _ = json.JSONDecoder().raw_decode(question)
        except json.JSONDecodeError:
            pass
        else:
            return {"say": question, **script}
    return {"say": f"You said: {question}"}


def cut(script: dict[str, Any]) -> list[str]:
    """The deltas a script says."""
    say = script["say"] * script.get("repeat", 1)
    if "tokens" in script:
        count = script["tokens"]
        edges = [len(say) * index // count for index in range(count + 1)]
        return [say[start:end] for start, end in itertools.pairwise(edges)]
    words = say.split(" ")
    return [word + " " for word in words[:-1]] + words[-1:]


def chunk(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"object": "chat.completion.chunk", **data}).encode() + b"\n\n"


@contextmanager
def run_in_process(log: Path) -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.model_server"], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().removeprefix("port ").strip()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def serve(port: int) -> None:
    runner = web.AppRunner(Model().application(), handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    assert runner.addresses
    print(f"port {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))
