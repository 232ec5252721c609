"""A log line is one line of JSON (or text) that says what it is about, and nothing that nobody may read."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from core.db.executor import in_thread
from core.observability import logs


def record(message: str, *args: object, exception: BaseException | None = None, **fields: object) -> logging.LogRecord:
    exc_info = (type(exception), exception, exception.__traceback__) if exception else None
    made = logging.LogRecord("chats.posting", logging.WARNING, __file__, 1, message, args, exc_info)
    made.__dict__.update(logs.fields(**fields))
    return made


def as_json(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return json.loads(logs.JSONFormatter().format(record(*args, **kwargs)))


def as_text(*args: Any, **kwargs: Any) -> str:
    return logs.TextFormatter().format(record(*args, **kwargs))


@pytest.fixture(autouse=True)
def _about_nothing() -> None:
    logs.begin()


def raised(make: Callable[[], Any]) -> BaseException:
    try:
        make()
    except BaseException as exception:
        return exception
    raise AssertionError("it raises nothing")


def fail_with(exception: BaseException, cause: BaseException | None = None) -> BaseException:
    def fail() -> None:
        raise exception from cause

    return raised(fail)


def test_a_line_says_when_how_grave_who_and_what() -> None:
    line = as_json("a try of %s failed", "a reply")
    assert line.pop("time").endswith("Z")
    assert line == {"level": "WARNING", "logger": "chats.posting", "message": "a try of a reply failed"}


def test_a_line_has_the_ids_that_its_task_is_about() -> None:
    logs.bind(request_id="r", tenant_id=7, chat_id=None)
    assert {name: as_json("x").get(name) for name in ("request_id", "tenant_id", "chat_id")} == {
        "request_id": "r",
        "tenant_id": "7",
        "chat_id": None,
    }
    assert as_text("x").endswith("chats.posting: x request_id=r tenant_id=7")


def test_what_begins_anew_is_about_nothing_of_before() -> None:
    logs.bind(request_id="r")
    logs.begin(reply_id="p")
    assert logs.about() == {"reply_id": "p"}


async def test_a_database_thread_is_about_what_its_caller_is() -> None:
    logs.bind(request_id="r")
    assert await in_thread(logs.about) == {"request_id": "r"}


async def test_tasks_side_by_side_are_about_their_own() -> None:
    async def one(name: str) -> dict[str, str]:
        logs.bind(request_id=name)
        await asyncio.sleep(0)
        return logs.about()

    assert await asyncio.gather(one("a"), one("b")) == [{"request_id": "a"}, {"request_id": "b"}]


def test_fields_of_a_line_stand_beside_them() -> None:
    logs.bind(request_id="r")
    line = as_json("answered", status=200, error_code=None)
    assert (line["request_id"], line["status"]) == ("r", 200)
    assert "error_code" not in line


@pytest.mark.parametrize("format", [logs.JSONFormatter(), logs.TextFormatter()], ids=["json", "text"])
@pytest.mark.parametrize(
    "text",
    ["a\nERROR forged", "a\r\nb", "a\x1b[31mb", "a\u2028b", "a\u0085b", "a\x00b", "a\ud800b", "a\x7fb"],
    ids=repr,
)
def test_nobody_forges_a_line(format: logging.Formatter, text: str) -> None:
    line = format.format(record("%s", text, method=text))
    assert len(line.splitlines()) == 1
    assert not any(ord(character) < 32 or character in "\x7f\u2028\u2029" for character in line)
    assert line.encode().decode() == line


@pytest.mark.parametrize(
    "text",
    [
        'WebSocket /ws/chat?api_key=SECRET&user_id=alice" [accepted]',
        "/ws/chat?user_id=alice&token=SECRET",
        "X-API-Key: SECRET",
        "'x-api-key': 'SECRET'",
        "Authorization: Bearer SECRET",
        "Authorization: Basic SECRET",
        "Cookie: SECRET; lexicon_session=SECRET; csrftoken=SECRET",
        '{"password": "SECRET"}',
        "webhook-signature: SECRET",
        "postgres://lexicon:SECRET@db.internal/lexicon",
        "https://SECRET@sentry.example.com/1?dsn=SECRET".replace("SECRET@", "public:SECRET@"),
        "key lxt_SECRET",
        "customer key lxc_SECRET.",
        "whsec_SECRET",
        "sk-SECRET",
    ],
)
def test_no_secret_is_written(text: str) -> None:
    assert "SECRET" not in as_text("%s", text, header=text)
    assert "SECRET" not in json.dumps(as_json("%s", text, header=text))


def test_an_exception_that_may_quote_a_user_says_only_what_and_where() -> None:
    trace = as_json("failed", exception=raised(lambda: int("a canary")))["trace"]
    assert "canary" not in trace.replace('int("a canary")', "")
    assert trace.endswith("ValueError: [withheld]")
    assert "tests/watching/test_logs.py" in trace


@pytest.mark.parametrize(
    ("exception", "told"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (AttributeError("no attribute 'x'"), "no attribute 'x'"),
        (KeyError("a canary"), "[withheld]"),
        (Exception("a canary"), "[withheld]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_that_names_the_machine_or_the_program_says_so(exception: BaseException, told: str) -> None:
    assert logs.exception_text(exception) == told


def test_a_databases_error_does_not_quote_the_row() -> None:
    from django.db import IntegrityError

    words = 'null value in column "role" violates a constraint\nDETAIL:  Failing row contains (1, a canary).'
    told = as_json("failed", exception=fail_with(IntegrityError(words)))["trace"].splitlines()[-1]
    assert told == 'IntegrityError: null value in column "role" violates a constraint'


def test_what_led_to_an_exception_is_told_first() -> None:
    trace = as_json("failed", exception=fail_with(RuntimeError("second"), fail_with(OSError("first"))))["trace"]
    assert trace.index("OSError: first") < trace.index("RuntimeError: second")


def test_a_forgotten_task_does_not_say_what_its_exception_says(caplog: pytest.LogCaptureFixture) -> None:
    made = record("Task exception was never retrieved\nfuture: <Task exception=ValueError('a canary')>")
    made.name = "asyncio"
    assert "canary" not in logs.JSONFormatter().format(made)


def test_a_line_that_holds_something_odd_is_written_all_the_same() -> None:
    assert as_json("x", odd=sys)["odd"].startswith("<module")
