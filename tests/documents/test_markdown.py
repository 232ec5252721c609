"""What `docs/` says is so: its programs run as they stand, its JSON is as documented, its tables are the code's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ERRORS, ErrorKind
from lexicon.documents import openapi
from lexicon.documents.events import SOCKET_ERRORS, close_codes
from lexicon.documents.shapes import failure
from tests.documents.contract import check_event, check_frame, problems
from tests.readme.demo import Demo
from tests.readme.test_quick_start import run
from tests.support.client import read_sse
from tests.support.servers import ROOT

#: No database decides it.
pytestmark = pytest.mark.once

DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    server = Demo(tmp_path_factory.mktemp("demo"))
    try:
        yield server.start()
    finally:
        server.close()


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of this language on a page, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def in_folder(program: str, folder: Path) -> str:
    """A shell script that runs where its files may lie."""
    return f"cd {folder}\n{program}"


def node() -> list[str]:
    found = shutil.which("node")
    assert found, "the JavaScript examples need node"
    told = subprocess.run([found, "-p", "typeof WebSocket"], capture_output=True, text=True, check=True).stdout
    return [found] if told.strip() != "undefined" else [found, "--experimental-websocket"]


# --- Programs ---


def test_the_quick_start_leads_to_a_reply_and_its_history(demo: Demo, tmp_path: Path) -> None:
    *before, history = blocks("quick-start.md", "bash")
    [talk] = blocks("quick-start.md", "javascript")
    (tmp_path / "talk.mjs").write_text(talk.replace("127.0.0.1:8000", f"127.0.0.1:{demo.port}"))
    program = "\n".join([*before, f"{' '.join(node())} talk.mjs", 'echo "--- history"', history])
    told = run(demo, ["bash", "-euo", "pipefail"], in_folder(program, tmp_path), tmp_path, "quick.sh")
    reply, _, history = told.partition("--- history\n")
    messages = json.loads(history)["messages"]
    assert [message["content"] for message in messages] == ["Do you ship abroad?", reply]
    assert len(reply.split()) > 5


def test_the_rest_page_runs_from_top_to_bottom(demo: Demo, tmp_path: Path) -> None:
    told = run(demo, ["bash", "-euo", "pipefail"], "\n".join(blocks("rest.md", "bash")), tmp_path, "rest.sh")
    answers = []
    while told:
        answer, end = json.JSONDecoder().raw_decode(told)
        answers.append(answer)
        told = told[end:].strip()
    of_user, again, of_tenant, history, changed, deleted = answers
    assert of_user["chats"] == again["chats"]
    assert of_user["chats"][0] == of_tenant["chats"][0]
    assert (of_user["chats"][0]["title"], changed["title"], changed["status"]) == ("Order 1042", "Refund", "closed")
    assert (history["messages"], deleted["success"]) == ([], True)


def test_the_websocket_page_comes_back_in_the_middle_of_a_reply(demo: Demo, tmp_path: Path) -> None:
    [program] = blocks("websocket.md", "javascript")
    told = run(demo, node(), program, tmp_path, "resume.mjs")
    assert "must not happen" not in told
    assert len(told.split()) > 5


def test_the_sse_page_prints_a_reply(demo: Demo, tmp_path: Path) -> None:
    [program] = blocks("sse.md", "python")
    told = run(demo, [sys.executable], program, tmp_path, "stream.py")
    assert "hours" in told.lower()
    assert len(told.split()) > 5


# --- What is printed ---


def test_the_frames_and_events_of_the_websocket_page_are_as_documented() -> None:
    frames, events = ([json.loads(line) for line in block.splitlines()] for block in blocks("websocket.md", "json"))
    assert [check_frame(frame) for frame in frames] == [[]] * 4
    assert [check_event(event) for event in events] == [[]] * 6
    assert "".join(event.get("token", "") for event in events) == events[-1]["content"]


def test_the_stream_of_the_sse_page_is_a_stream() -> None:
    [stream] = blocks("sse.md", "text")
    assert [number for number, _ in read_sse(stream.encode())] == [1, 2, 3]


def test_the_failures_of_the_errors_page_are_as_documented() -> None:
    lexicon, customer = (json.loads(block) for block in blocks("errors.md", "json"))
    assert problems(lexicon, failure(list(ERRORS), customer=False), openapi.document()) == []
    assert problems(customer, failure(list(ERRORS), customer=True), openapi.document()) == []


def table(*rows: tuple[object, ...]) -> str:
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


#: What the table of the code does not tell of a WebSocket.
SOCKET = {
    "NOT_FOUND": 4404,
    "INVALID_REQUEST": "4400 on connecting, else stays open",
    "RATE_LIMIT_EXCEEDED": "4429 on connecting, else stays open",
    "SERVICE_UNAVAILABLE": "1013 on connecting, else stays open",
}


def row(kind: ErrorKind) -> tuple[object, ...]:
    open_still = "stays open" if kind in SOCKET_ERRORS else ""
    socket = SOCKET.get(kind.code, kind.close or open_still)
    # These two are of addresses that the customer face does not have.
    customer = "" if kind.code in ("USER_NOT_FOUND", "CHAT_IN_USE") else kind.customer_http or kind.http
    return f"`{kind.code}`", kind.message, kind.http or "", customer or "", socket


def test_the_table_of_errors_is_the_codes() -> None:
    head = ("code", "what it says", "HTTP", "customer face", "WebSocket")
    expected = table(head, *(row(kind) for kind in ERRORS))
    assert expected in (DOCS / "errors.md").read_text(), f"docs/errors.md should hold:\n{expected}"


def test_the_table_of_close_codes_is_the_codes() -> None:
    expected = table(("code", "what it means"), *close_codes().items())
    assert expected in (DOCS / "errors.md").read_text(), f"docs/errors.md should hold:\n{expected}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [*(f"docs/{name}" for name in PAGES), "README.md", "CHANGELOG.md", "clients/python/README.md"]
)
def test_every_link_leads_somewhere(page: str) -> None:
    here = ROOT / page
    text = re.sub(r"^```.*?^```", "", here.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            led_to = here.parent / name if name else here
            assert led_to.exists(), target
            assert not anchor or anchor in anchors(led_to), target
