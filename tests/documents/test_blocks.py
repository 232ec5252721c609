"""Every code block of `docs/` is something that a test looks at: a block that none knows of fails here.

All of them are read in their language, requests are held against the documents; programs are run, by the tests
that PROGRAMS names. What a page says of its own subject, its own tests hold against the code.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from tests.documents.contract import check_request, operations
from tests.support.client import read_sse
from tests.support.servers import ROOT

#: No database decides it.
pytestmark = pytest.mark.once

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
#: (page, language, text) of every code block.
BLOCKS = [
    (page.name, language, textwrap.dedent(text))
    for page in sorted(DOCS.glob("*.md"))
    for _, language, text in BLOCK.findall(page.read_text())
]

#: Who runs the programs of a page, in these languages.
PROGRAMS = {
    ("quick-start.md", "bash"): "tests/documents/test_markdown.py",
    ("quick-start.md", "javascript"): "tests/documents/test_markdown.py",
    ("rest.md", "bash"): "tests/documents/test_markdown.py",
    ("sse.md", "python"): "tests/documents/test_markdown.py",
    ("websocket.md", "javascript"): "tests/documents/test_markdown.py",
    ("tokens-and-widget.md", "bash"): "tests/web/test_widget.py",
    ("tokens-and-widget.md", "python"): "tests/web/shop.py",
    ("tokens-and-widget.md", "javascript"): "tests/web/test_widget.py",
    ("webhooks.md", "python"): "tests/webhooks/test_documents.py",
    ("webhooks.md", "javascript"): "tests/webhooks/test_documents.py",
}


def read_shell(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def read_javascript(text: str) -> None:
    node = shutil.which("node")
    assert node, "the JavaScript examples need node"
    subprocess.run([node, "--check", "--input-type=module", "-"], input=text, text=True, check=True)


def read_json(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        for line in text.splitlines():
            json.loads(line)


def read_html(text: str) -> None:
    opened: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _: opened.append(tag)  # type: ignore[method-assign]
    parser.handle_endtag = lambda tag: opened.remove(tag)  # type: ignore[method-assign]
    parser.feed(text)
    assert set(opened) <= {"html", "meta", "link", "input", "br", "img"}


def read_environment(text: str) -> None:
    assert all(re.fullmatch(r"[A-Z_]+=.*|#.*|", line) for line in text.splitlines())


def read_text(text: str) -> None:
    """A stream, or addresses of the WebSocket."""
    if text.startswith("id: "):
        assert read_sse(text.encode())
        return
    for line in text.splitlines():
        address = urlsplit(line.split()[0])
        assert (address.scheme, address.path) == ("ws", "/ws/chat")
        assert set(parse_qs(address.query)) <= {"api_key", "user_id", "chat_id", "token", "after"}


READERS: dict[str, Callable[[str], object]] = {
    "bash": read_shell,
    "sh": read_shell,
    "python": ast.parse,
    "javascript": read_javascript,
    "json": read_json,
    "html": read_html,
    "text": read_text,
    "yaml": yaml.safe_load,
    "ini": read_environment,
    # What is printed, as it looks.
    "": str,
}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_is_read_in_its_language(number: int) -> None:
    page, language, text = BLOCKS[number]
    assert language in READERS, f"{page} has a block in {language or 'no language'}, which nothing reads"
    READERS[language](text)


def test_a_program_is_run() -> None:
    programs = {
        (page, language)
        for page, language, text in BLOCKS
        if language in ("bash", "python", "javascript") and not all(map(COMMAND.fullmatch, text.splitlines()))
    }
    assert programs == set(PROGRAMS)
    for (page, language), module in PROGRAMS.items():
        test = (ROOT / module).read_text()
        assert page in test, f"{module} does not run {page}"
        assert language in test, f"{module} runs no {language}"


COMMAND = re.compile(r".*manage\.py (\w+)(.*?)(?: +#.*)?")
COMMANDS = [
    (page, command)
    for page, language, text in BLOCKS
    if language in ("bash", "sh")
    for line in text.splitlines()
    if (command := COMMAND.fullmatch(line))
]


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_a_command_is_there(number: int) -> None:
    page, command = COMMANDS[number]
    name, options = command.groups()
    assert name in get_commands(), f"{page}: {name}"
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"(?<=\s)--[a-z-]+", options)) <= known, page


def test_a_block_begins_and_ends() -> None:
    for page in DOCS.glob("*.md"):
        fences = re.findall(r"^ *```", page.read_text(), re.MULTILINE)
        assert len(fences) == 2 * len(BLOCK.findall(page.read_text())), page.name


# --- Requests ---

REQUEST = re.compile(r"curl (?:[^\n]*\\\n)*[^\n|>)]*127\.0\.0\.1:8000/api/v1/(?:[^\n]*\\\n)*[^\n|>]*")
REQUESTS = [
    (page, found) for page, language, text in BLOCKS if language in ("bash", "sh") for found in REQUEST.findall(text)
]


def operation_at(method: str, path: str) -> str | None:
    """The name of the documented operation at an address in which shell variables stand for ids."""
    for name, (documented, template, _) in operations().items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template.rstrip("/"))
        if documented == method and re.fullmatch(pattern, path.rstrip("/")):
            return name
    return None


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_a_request_is_documented(number: int) -> None:
    _, text = REQUESTS[number]
    words = shlex.split(text.replace("\\\n", " "))
    (address,) = (word for word in words if word.startswith("http"))
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
    name = operation_at(method.lower(), urlsplit(address).path)
    assert name is not None, f"{method} {address}"
    if body is not None:
        assert check_request(name, json.loads(body)) == []


def test_there_are_requests() -> None:
    assert len(REQUESTS) >= 8
