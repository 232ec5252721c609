"""Foreign files and pages: whatever they hold, they become articles or a sentence, in a process that is gone then."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from knowledge import parser_process
from knowledge.article_files import MOST_FILES, MOST_ROWS, Draft, Unreadable
from knowledge.models import Article
from tenants.models import Tenant
from tests.support.actors import new_actor
from tests.support.servers import ROOT

pytestmark = pytest.mark.once

SOON = 60.0
MIB = 2**20
#: For Beautiful Soup as it is, an endless task.
ENDLESS = b"<a " * 34_000


def children(of: int | None = None) -> list[int]:
    """The processes that read a file for the process `of`, this one by default."""
    parent = of or os.getpid()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(status[1]) == parent and b"parser_child" in command:
            found.append(int(folder.name))
    return found


def until(condition: Callable[[], object]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < SOON
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert children() == []


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes ten seconds takes three."""
    monkeypatch.setattr(parser_process, "MOST_SECONDS", 3.0)


def page(content: bytes, kind: str = "text/html", charset: str | None = None) -> list[Draft]:
    return [parser_process.read_page("https://shop.example/page", content, kind, charset)]


def upload(name: str, content: bytes | Callable[[], bytes]) -> list[Draft]:
    return parser_process.read_upload(name, content if isinstance(content, bytes) else content())


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, text in files:
            archive.writestr(name, text)
    return content.getvalue()


def patched(content: bytes, offset: int, value: bytes) -> bytes:
    """A ZIP of one entry with other bytes in that entry of its directory."""
    at = content.rindex(b"PK\x01\x02") + offset
    return content[:at] + value + content[at + len(value) :]


def overlapping() -> bytes:
    """Many entries of the directory that name the same packed bytes."""
    content = zipped(("a.md", b"x" * (MIB - 1)))
    start, end = content.rindex(b"PK\x01\x02"), content.rindex(b"PK\x05\x06")
    entry, count = content[start:end], 1500
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(entry) * count, start, 0)
    return content[:start] + entry * count + tail


def symbolic_link() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        entry = zipfile.ZipInfo("passwd.md")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return content.getvalue()


GOOD = zipped(("a.md", b"# A\n\nText."))

PAGES = {
    "elements in elements": b"<div>" * 1_500,
    "very many elements in elements": b"<div>" * 100_000,
    "closed ones": b"<div>" * 1_500 + b"x" + b"</div>" * 1_500,
    "tags that never end": ENDLESS,
    "attributes": b"<p " + b"a=b " * 100_000 + b">x",
    "attributes without quotes' end": b'<p a="' * 30_000,
    "tags that never begin": b"<" * 200_000,
    "closing signs": b">" * 1_000_000,
    "closing tags": b"</p>" * 100_000,
    "comments": b"<!--" * 100_000,
    "declarations": b"<!" * 100_000,
    "cdata": b"<![CDATA[" * 50_000,
    "instructions": b"<?" * 100_000,
    "scripts": b"<script>" * 50_000,
    "entities": b"&amp" * 200_000,
    "numbers of characters": b"&#x110000;&#xD800;&#0;" * 20_000,
    "lists in lists": b"<ul><li>" * 5_000,
    "items": b"<li>x" * 20_000,
    "tables in tables": b"<table><tr><td>" * 2_000,
    "quotes in quotes": b"<blockquote>" * 2_000,
    "cells": b"<table><tr>" + b"<td>x" * 20_000,
    "spaces": b"<p>" + b" " * 1_000_000 + b"x",
    "lines": b"<pre>" + b"\n" * 1_000_000 + b"x",
    "headings": b"<h1>" * 20_000,
    "marks that combine": b"<p>a" + "\u0f81".encode() * 100_000,
    "stars": b"<p>" + b"*_`[" * 100_000,
    "bytes": bytes(range(256)) * 2_000,
    "zeros": b"\0" * 500_000,
    "UTF-16": "<p>Grüße".encode("utf-16"),
    "nothing": b"",
}
TEXTS = {
    "spaces after a sign": b"#" + b" " * 500_000 + b"x\n",
    "signs": b"#" * 500_000,
    "signs and spaces": b"# a" + b" #" * 250_000,
    "lines of signs": b"# \n" * 300_000,
    "a heading that is only signs": b"# " + b"#" * 500_000,
    "white space": b"# " + "\u2003\u00a0".encode() * 100_000 + b"x",
    "a front that never ends": b"---\n" + b"title: a\n" * 100_000,
    "a front of many lines": b"---\n" + b"title: a\n" * 100_000 + b"---\nx",
    "colons": b"---\n" + b":" * 500_000,
    "no UTF-8": b"# \xff\xfe\xfa",
    "UTF-16": "# Grüße".encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf# A\n\nText.",
    "too long for an article": b"x" * (MIB + 1),
    "nothing": b"",
}
TABLES: dict[str, Callable[[], bytes]] = {
    "one cell": lambda: b"title,body\na," + b"x" * 9 * MIB,
    "one cell in quotes": lambda: b'title,body\na,"' + b"x" * 9 * MIB,
    "lines": lambda: b"title,body\n" + b"\n" * 5_000_000,
    "columns": lambda: b"," * 5_000_000,
    "columns of a row": lambda: b"title,body\n" + b"," * 5_000_000,
    "quotes": lambda: b'"' * 5_000_001,
    "rows": lambda: b"title,body\n" + b"a,b\n" * (MOST_ROWS + 1),
    "zeros": lambda: b"title,body\n\0,\0\n",
    "carriage returns": lambda: b"title,body\r" * 500_000,
    "no UTF-8": lambda: b"title,body\n\xff,b\n",
    "UTF-16": lambda: "title,body\na,b\n".encode("utf-16"),
    "a column with a strange name": lambda: "ti\u202etle,\x1b[31m\n".encode(),
    "nothing": lambda: b"",
}
ARCHIVES: dict[str, Callable[[], bytes]] = {
    "one that unpacks to gigabytes": lambda: zipped(("a.md", b"\0" * 200 * MIB)),
    "many that unpack to gigabytes": lambda: zipped(*((f"{n}.md", b"x" * (MIB - 1)) for n in range(150))),
    "entries that share their bytes": overlapping,
    "a ZIP in a ZIP": lambda: zipped(("a.zip", zipped(("b.md", b"x"))), ("a.md", zipped(("c.md", b"x")))),
    "too many files": lambda: zipped(*((f"{n}.md", b"x") for n in range(MOST_FILES + 1))),
    "many that are no articles": lambda: zipped(*((f"{n}.txt", b"x") for n in range(5_000)), ("a.md", b"x")),
    "a password": lambda: patched(GOOD, 8, b"\x01\0"),
    "a wrong sum": lambda: patched(GOOD, 16, b"\0\0\0\0"),
    "a wrong size": lambda: patched(GOOD, 24, b"\xff\xff\xff\x7f"),
    "a method that nobody knows": lambda: patched(GOOD, 10, b"\x63\0"),
    "bzip2": lambda: zipped(("a.md", b"\0" * 50 * MIB), method=zipfile.ZIP_BZIP2),
    "LZMA": lambda: zipped(("a.md", b"\0" * 50 * MIB), method=zipfile.ZIP_LZMA),
    "a symbolic link": symbolic_link,
    "names that lead away": lambda: zipped(("../../etc/cron.d/a.md", b"x"), ("/b.md", b"x"), ("c\\..\\d.md", b"x")),
    "names that are none": lambda: zipped((".md", b"x"), ("\u202e\x1b[31m.md", b"x"), ("x" * 60_000 + ".md", b"x")),
    "a folder that is called like a file": lambda: zipped(("a.md/", b""), ("b.md", b"x")),
    "something before it": lambda: b"x" * 1_000 + GOOD,
    "half of one": lambda: GOOD[: len(GOOD) // 2],
    "its end only": lambda: GOOD[-22:],
    "nothing": lambda: b"",
}
CHARSETS = ("hex", "zlib", "idna", "punycode", "rot13", "undefined", "a\0b", "", "x" * 100_000)
FOREIGN: dict[str, Callable[[], list[Draft]]] = {
    **{f"page, {name}": partial(page, content) for name, content in PAGES.items()},
    **{f"plain page, {name}": partial(page, content, "text/plain") for name, content in TEXTS.items()},
    **{f"Markdown, {name}": partial(upload, "a.md", content) for name, content in TEXTS.items()},
    **{f"CSV, {name}": partial(upload, "a.csv", make) for name, make in TABLES.items()},
    **{f"ZIP, {name}": partial(upload, "a.zip", make) for name, make in ARCHIVES.items()},
    **{f"charset {charset[:9]!r}": partial(page, b"<p>x", "text/html", charset) for charset in CHARSETS},
    **{f"charset {charset[:9]!r} of a text": partial(page, b"x", "text/plain", charset) for charset in CHARSETS},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_it_becomes_articles_or_a_sentence(hasty: None, name: str) -> None:
    told = ""
    try:
        drafts = FOREIGN[name]()
    except Unreadable as error:
        drafts, told = [], str(error)
    # A table of empty lines is a table without rows, where it is read in time.
    assert drafts or told or name == "CSV, lines"
    assert all(draft.place.isprintable() for draft in drafts)
    assert told.isprintable()
    assert "could not be read" not in told, "what reads it was taken by surprise"


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("a.csv", TABLES["rows"], "has more than 20,000 rows"),
        ("a.zip", ARCHIVES["too many files"], "must hold 1 to 2,000 files"),
        ("a.zip", ARCHIVES["many that unpack to gigabytes"], "unpacks to more than 100 MiB"),
        ("a.zip", ARCHIVES["one that unpacks to gigabytes"], "a.md is larger than 1 MiB"),
        ("a.csv", lambda: b"x" * (10 * MIB + 1), "is larger than 10 MiB"),
    ],
)
def test_a_bound_is_told(name: str, make: Callable[[], bytes], told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        upload(name, make)


def test_elements_in_elements_are_counted() -> None:
    with pytest.raises(Unreadable, match="nested more than 500 deep"):
        page(PAGES["elements in elements"])
    [draft] = page(b"<div>" * 490 + b"x" + b"</div>" * 490)
    assert draft.fields["body"] == "x"


# --- The process that reads it ---


def test_one_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_process, "MOST_SECONDS", 1.0)
    with pytest.raises(Unreadable, match="took longer than 1 seconds to read"):
        page(ENDLESS)


def test_one_that_needs_too_much_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_process, "MOST_MEMORY_BYTES", 32 * MIB)
    with pytest.raises(Unreadable, match="needed more than 32 MiB of memory"):
        parser_process.read_file("a.csv", b"title,body\n" + b"a,b\n" * 10_000_000)


def test_one_that_is_killed_is_told_and_was_given_no_secret() -> None:
    told: list[str] = []
    environment: list[bytes] = []

    def read() -> None:
        with pytest.raises(Unreadable) as refused:
            page(ENDLESS)
        told.append(str(refused.value))

    reader = threading.Thread(target=read)
    reader.start()
    until(children)
    [child] = children()
    until(lambda: b"parser_child" in Path(f"/proc/{child}/cmdline").read_bytes())
    environment.append(Path(f"/proc/{child}/environ").read_bytes())
    os.kill(child, signal.SIGKILL)
    reader.join(SOON)
    assert "ended unexpectedly" in told[0]
    assert b"SECRET_KEY" not in environment[0]
    assert b"DATABASE_URL" not in environment[0]


def test_one_whose_parent_is_killed_ends_by_itself() -> None:
    program = (
        "from knowledge import parser_process as p; p.MOST_SECONDS = 2.0; "
        "p.read_page('https://shop.example/', b'<a ' * 34_000, 'text/html', None)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    until(lambda: children(parent.pid))
    [child] = children(parent.pid)
    parent.kill()
    parent.wait()
    until(lambda: not Path(f"/proc/{child}").exists() or is_dead(child))


def is_dead(pid: int) -> bool:
    """Whether it only waits to be reaped, by the process that the system gave it to."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_it_knows_nothing_of_django() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import knowledge.parser_child, knowledge.page_text; "
        "print([name for name in ('django', 'lexicon', 'tenants') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program, str(ROOT)], capture_output=True, text=True, cwd="/")
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("raise SystemExit(3)", "ended unexpectedly"),
        ("print('nonsense')", "ended unexpectedly"),
        ("print('[]')", "ended unexpectedly"),
        ('print(\'{"place": "a", "fields": {"tenant_id": "1"}}\')', "ended unexpectedly"),
        ('print(\'{"place": "a", "fields": {"title": 1}}\')', "ended unexpectedly"),
        ("print('{\"read\": 1}')", "ended unexpectedly"),
        ('print(\'{"failed": "OSError", "trace": ""}\')', r"failed \(OSError\)"),
        ("import sys\nwhile True: sys.stdout.write('x' * 65536)", "holds more than 1 MiB"),
        ("import os; os.close(0); os.close(1); import time; time.sleep(60)", "ended unexpectedly"),
        ("import time; time.sleep(60)", "took longer"),
    ],
)
def test_what_it_answers_is_not_believed(hasty: None, monkeypatch: pytest.MonkeyPatch, program: str, told: str) -> None:
    monkeypatch.setattr(parser_process, "_PROGRAM", program)
    monkeypatch.setattr(parser_process, "MOST_ANSWER_BYTES", MIB)
    with pytest.raises(Unreadable, match=told):
        parser_process.read_upload("a.md", b"x" * 100_000)


def test_more_than_two_at_once_wait_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_process, "MOST_WAITING_SECONDS", 0.05)
    for _ in range(parser_process.MOST_AT_ONCE):
        assert parser_process._turns.acquire(timeout=SOON)
    try:
        with pytest.raises(Unreadable, match="other files are being read at this moment"):
            parser_process.read_upload("a.md", b"# A")
    finally:
        for _ in range(parser_process.MOST_AT_ONCE):
            parser_process._turns.release()
    assert parser_process.read_upload("a.md", b"# A")


# --- Who imports is told ---


@pytest.fixture
def tenant(db: None) -> Tenant:
    return new_actor("Acme").tenant


@pytest.mark.parametrize("name", ["\x1b[31m\u202e.zip", "<script>alert(1)</script>.csv", "%s%(x)s.md"])
def test_the_admin_tells_it_on_the_form(hasty: None, tenant: Tenant, name: str) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("olga"))
    file = SimpleUploadedFile(name, b"\xff\xfe")
    answer = client.post("/admin/agents/article/import/", {"tenant": tenant.id, "file": file})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "is not UTF-8" in page or "is no ZIP" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page


def test_the_admin_says_what_may_be_sent(tenant: Tenant) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("olga"))
    page = client.get("/admin/agents/article/import/").content.decode()
    assert "at most 10 MiB: 20,000 rows, or 2,000 files that unpack to 100 MiB" in page


def test_the_command_tells_it_for_each_file(hasty: None, tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("# Good\n\nText.")
    (tmp_path / "bad.md").write_bytes(b"\xff")
    (tmp_path / "long.md").write_bytes(b"x" * (MIB + 1))
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff\n.md", os.O_CREAT | os.O_WRONLY))
    with pytest.raises(CommandError) as refused:
        call_command("import_articles", str(tenant.id), str(tmp_path))
    told = str(refused.value)
    assert "bad.md is not UTF-8" in told
    assert "long.md is larger than 1 MiB" in told
    assert r"\udcff\n.md" in told
    assert not Article.objects.for_tenant(tenant.id).exists()
    errors = io.StringIO()
    call_command("import_articles", str(tenant.id), str(tmp_path), "--skip-bad", stdout=io.StringIO(), stderr=errors)
    assert [article.title for article in Article.objects.for_tenant(tenant.id)] == ["Good"]
    assert "bad.md is not UTF-8" in errors.getvalue()


@pytest.mark.parametrize(
    "content", [b"<![foo text", b"<![% text", b"<p>text</p><![x text"], ids=["a word", "a sign", "in the end"]
)
def test_a_page_that_the_parser_refuses_is_told(content: bytes) -> None:
    with pytest.raises(Unreadable, match="is not HTML that can be read"):
        parser_process.read_page("https://help.example.com/", content, "text/html", None)
