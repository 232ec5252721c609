"""The scripted model does what its page says, as far as nothing else shows it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.client import SOON, script
from tests.support.model_server import ModelServer, read_script, run_in_process, tokens_of

#: No database decides it.
pytestmark = pytest.mark.once


def tokens(**directives: object) -> list[str]:
    return tokens_of(read_script(script(**directives)), "m", [])


def body(message: str, model: str = "m") -> dict[str, object]:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": message}]
    return {"model": model, "messages": messages, "stream": True}


def test_it_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    with run_in_process(tmp_path / "log") as base_url, httpx.Client(base_url=base_url.removesuffix("/v1")) as client:
        answer = client.post("/v1/chat/completions", json=body("Hello"))
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.text.endswith("data: [DONE]\n\n")
        client.post("/v1/chat/completions", json=body("Goodbye"))
        told = client.get("/calls", params={"contains": "Hello"}).json()
        assert (told["count"], told["open"], told["calls"][0]["question"]) == (1, 0, "Hello")
        assert client.get("/calls").json()["count"] == 2
        client.post("/reset")
        assert client.get("/calls").json() == {"count": 0, "open": 0, "calls": []}


@pytest.mark.parametrize(
    ("directives", "expected"),
    [
        ({"say": "one two"}, ["one ", "two"]),
        ({"say": "one  two "}, ["one  ", "two "]),
        ({"say": "ab", "repeat": 3, "tokens": 2}, ["aba", "bab"]),
        ({"say": "abcdefg", "tokens": 3}, ["ab", "cd", "efg"]),
        ({"say": "ab", "tokens": 9}, ["a", "b"]),
    ],
)
def test_a_text_is_cut_into_tokens(directives: dict[str, object], expected: list[str]) -> None:
    assert tokens(**directives) == expected


def test_the_model_called_prompt_says_all_it_was_told() -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    assert "".join(tokens_of(read_script("Hello"), "prompt", messages)) == "Be kind.\nHello"


@pytest.mark.parametrize("message", ["Hello", "{not json", "[1]", "7"])
def test_what_is_no_script_is_said_back(message: str) -> None:
    assert "".join(tokens_of(read_script(message), "m", [{"content": message}])) == f"You said: {message}"


def test_a_failure_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AssertionError):
        read_script(script(fail="stal-first"))


async def test_a_reply_takes_as_long_as_it_was_told_and_no_less(model: ModelServer) -> None:
    began = asyncio.get_running_loop().time()
    async with httpx.AsyncClient(timeout=SOON) as client:
        await client.post(f"{model.base_url}/chat/completions", json=body(script(say="a b c", total_ms=150)))
    assert asyncio.get_running_loop().time() - began >= 0.15
