"""A streamed chat completion, as its text, usage and end."""

from __future__ import annotations

import json

import pytest

from agents.contract import Usage
from agents.providers.openai_compatible import Completion

#: No database decides it.
pytestmark = pytest.mark.once

#: As OpenAI's API sends it (ids shortened), with what other servers add: comments, CRLF, reasoning, a null delta.
RECORDED = (
    ": OPENROUTER PROCESSING\n\n"
    'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    'data: {"id":"1","choices":[{"index":0,"delta":{"reasoning_content":"Hm."},"finish_reason":null}]}\n\n'
    'data: {"id":"1","choices":[{"delta":{"content":"Gr\u00fc\u00dfe"},"finish_reason":null}],"usage":null}\r\n\r\n'
    'data: {"id":"1","choices":[{"index":0,"delta":{"content":" \\ud83d\\ude42"},"finish_reason":null}]}\n\n'
    'data:{"id":"1","choices":[{"index":0,"delta":{"content":" \U0001f642\\n"},"finish_reason":null}]}\n\n'
    'data: {"id":"1","choices":[{"index":0,"delta":null,"finish_reason":null}]}\n\n'
    'data: {"id":"1","choices":[{"index":0,"delta":{"content":null},"finish_reason":"stop"}]}\n\n'
    'data: {"id":"1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}}\n\n'
    "data: [DONE]\n\n"
).encode()
SAID = "Grüße 🙂 🙂\n"


def read(*chunks: bytes) -> tuple[str, Completion]:
    completion = Completion()
    return "".join(completion.feed(chunk) for chunk in chunks), completion


def body_of(*contents: str, finish: str | None = "stop") -> bytes:
    """A stream of these deltas, written with JSON's escapes for all that is not ASCII."""
    chunks = [{"choices": [{"delta": {"content": content}}]} for content in contents]
    if finish:
        chunks.append({"choices": [{"delta": {}, "finish_reason": finish}]})  # type: ignore[dict-item]
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def test_a_recorded_stream_is_the_same_wherever_it_is_cut() -> None:
    for at in range(len(RECORDED)):
        said, completion = read(RECORDED[:at], RECORDED[at:])
        assert (said, completion.finish_reason, completion.usage) == (SAID, "stop", Usage(12, 5)), at
        assert completion.failure is None


def test_a_recorded_stream_is_the_same_byte_by_byte() -> None:
    said, completion = read(*(bytes([byte]) for byte in RECORDED))
    assert said == SAID
    assert (completion.finish_reason, completion.usage, completion.failure) == ("stop", Usage(12, 5), None)


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (["\ud83d\ude42"], "🙂"),
        (["a\ud83d", "\ude42b"], "a🙂b"),
        (["\ud83d", "", "\ude42"], "🙂"),
        (["\ud83d", "\ude42\ud83d", "\ude42"], "🙂🙂"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a\ude42b"], "a\ufffdb"),
        (["\ude42", "\ud83d"], "\ufffd\ufffd"),
        (["a\0b", "\0"], "ab"),
        (["\ud83d\0", "\ude42"], "\ufffd\ufffd"),
        (["</script>", "data: [DONE]\n\n", "\u2028"], "</script>data: [DONE]\n\n\u2028"),
    ],
)
def test_what_is_said_is_made_of_whole_characters(contents: list[str], said: str) -> None:
    assert read(body_of(*contents))[0] == said


def test_half_a_character_is_kept_back_until_the_other_half_comes() -> None:
    completion = Completion()
    assert completion.feed(body_of("a\ud83d", finish=None)) == "a"
    assert completion.feed(body_of("\ude42b", finish=None)) == "🙂b"


@pytest.mark.parametrize(
    ("reported", "known"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        ("?", "stop"),
    ],
)
def test_a_finish_reason_is_one_we_know(reported: str, known: str) -> None:
    assert read(body_of("a", finish=reported))[1].finish_reason == known


def test_done_alone_is_an_end() -> None:
    said, completion = read(body_of("a", finish=None) + b"data: [DONE]\n\n")
    assert (said, completion.finish_reason) == ("a", "stop")


def test_without_an_end_there_is_none() -> None:
    assert read(body_of("a", finish=None))[1].finish_reason is None


def test_what_follows_the_end_is_not_said() -> None:
    said, completion = read(body_of("a", finish="length"), b"data: [DONE]\n\n", body_of("b"), b"data: [DONE]\n\n")
    assert (said, completion.finish_reason) == ("a", "length")


@pytest.mark.parametrize("data", ["{broken", '{"error": {"message": "x"}}', "[]"])
def test_what_follows_the_end_is_no_failure(data: str) -> None:
    said, completion = read(body_of("a") + f"data: {data}\n\n".encode())
    assert (said, completion.finish_reason, completion.failure) == ("a", "stop", None)


def test_an_error_with_a_finish_reason_is_a_failure() -> None:
    """As OpenRouter reports a provider that failed in the middle."""
    event = {"error": {"message": "x"}, "choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}
    completion = read(f"data: {json.dumps(event)}\n\n".encode())[1]
    assert (completion.finish_reason, completion.failure) == (None, "it reported an error")


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        '{"prompt_tokens": null, "completion_tokens": 1}',
        '{"prompt_tokens": -1, "completion_tokens": 1}',
    ],
)
def test_usage_that_says_nothing_is_no_usage_and_no_failure(usage: str) -> None:
    said, completion = read(body_of("a") + f'data: {{"choices": [], "usage": {usage}}}\n\n'.encode())
    assert (said, completion.usage, completion.failure) == ("a", None, None)


@pytest.mark.parametrize(
    "data",
    [
        "{broken",
        "<html>",
        "1e",
        "[" * 100_000,
        "[]",
        '"text"',
        "7",
        "null",
        '{"choices": {}, "error": {"message": "x"}}',
        '{"choices": 7}',
        '{"choices": [7]}',
        '{"choices": [{"delta": 7}]}',
        '{"choices": [{"delta": {"content": 7}}]}',
        '{"choices": [{"delta": {"content": ["x"]}}]}',
        '{"error": {"message": "x"}}',
        '{"error": "x"}',
    ],
)
def test_an_event_that_is_no_completion_is_a_failure_and_what_was_said_before_counts(data: str) -> None:
    said, completion = read(body_of("a", finish=None) + f"data: {data}\n\n".encode() + body_of("b"))
    assert said == "a"
    assert completion.failure
    assert "x" not in completion.failure


def test_bytes_that_are_no_text_are_a_failure() -> None:
    assert read(b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n')[1].failure


@pytest.mark.parametrize("data", ["{}", '{"choices": []}', '{"choices": null}', '{"choices": [{}]}', '{"object": "x"}'])
def test_an_event_that_says_nothing_is_no_failure(data: str) -> None:
    said, completion = read(f"data: {data}\n\n".encode() + body_of("a"))
    assert (said, completion.failure) == ("a", None)
