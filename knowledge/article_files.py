"""How is an article written in a file?

Markdown with its other fields in front, between two lines of `---`; or a row of a CSV whose first row names the
columns. What is written is read back as exactly the same.

Nothing of Django is imported: a foreign file is read in a process of its own (knowledge/parser_process.py).
"""

from __future__ import annotations

import csv
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowledge.models import Article

#: The columns of a CSV, and the names in front of a Markdown file, which has its body after them: the id, and
#: `knowledge.models.TEXT_FIELDS`.
COLUMNS = ("id", "title", "body", "category", "language", "state", "source_url")
#: Largest file that is uploaded, in bytes; and of what a ZIP unpacks to, in bytes and in files.
MOST_BYTES = 10 * 2**20
MOST_UNPACKED_BYTES = 100 * 2**20
MOST_FILES = 2_000
#: Most rows of a CSV that is uploaded.
MOST_ROWS = 20_000
#: Largest Markdown file, in bytes: the longest body (knowledge/importing.py) is at most 800,000 of them.
MOST_MARKDOWN_BYTES = 2**20
#: Longest cell of a CSV, in characters.
MOST_CHARACTERS = 1_000_000
#: Longest name of a file that an error shows, in characters.
_SHOWN_CHARACTERS = 200
#: How a cell begins that a spreadsheet may take for a formula: OWASP, "CSV Injection", whose signs count after spaces
#: and apostrophes, too.
_FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠\t\r\n]")


@dataclass(frozen=True, slots=True)
class Draft:
    """An article as a file has it. Fields that the file does not name are not there."""

    #: Where in the file or folder it stands, for who reads an error.
    place: str
    fields: dict[str, str]


class Unreadable(Exception):
    """Nothing of it can be read. The message says where, and what to put right."""


def find_markdown(folder: Path) -> list[Path]:
    """The Markdown files in a folder and those beneath, in the order of their names. Raises Unreadable."""
    paths = sorted(path for path in folder.rglob("*.md") if path.is_file())
    if not paths:
        raise Unreadable(f"There is no file in {shown(str(folder))} whose name ends with .md.")
    return paths


def shown(name: str) -> str:
    """The name of a file as an error shows it: without what no terminal and no page prints, and not endless."""
    printable = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in name[: _SHOWN_CHARACTERS + 1]
    )
    return printable if len(printable) <= _SHOWN_CHARACTERS else printable[:_SHOWN_CHARACTERS] + "…"


def read_upload(name: str, content: bytes) -> list[Draft]:
    """The articles of a file that somebody sent: a CSV, Markdown, or a ZIP of Markdown. Raises Unreadable."""
    if len(content) > MOST_BYTES:
        raise Unreadable(f"{shown(name)} is larger than {MOST_BYTES // 2**20} MiB.")
    match Path(name).suffix.lower():
        case ".csv":
            return read_csv(decode(content, name), name, most_rows=MOST_ROWS)
        case ".md" | ".markdown":
            return [read_markdown(decode(_short(content, name), name), name)]
        case ".zip":
            return list(_zipped(name, content))
    raise Unreadable(f"{shown(name)}: its name must end with .csv, .md or .zip.")


def read_file(name: str, content: bytes) -> list[Draft]:
    """The articles of an operator's own file: a CSV of any length, or Markdown. Raises Unreadable."""
    if Path(name).suffix.lower() == ".csv":
        return read_csv(decode(content, name), name)
    return [read_markdown(decode(_short(content, name), name), name)]


def _short(content: bytes, name: str) -> bytes:
    if len(content) > MOST_MARKDOWN_BYTES:
        raise Unreadable(f"{shown(name)} is larger than {MOST_MARKDOWN_BYTES // 2**20} MiB: too long for an article.")
    return content


def _zipped(name: str, content: bytes) -> Iterator[Draft]:
    room = MOST_UNPACKED_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = _entries(archive, name)
            for entry in sorted(entries, key=lambda entry: entry.filename):
                with archive.open(entry) as file:
                    # What it says its size is may be a lie.
                    unpacked = file.read(min(room, MOST_MARKDOWN_BYTES) + 1)
                room -= len(unpacked)
                if room < 0:
                    raise Unreadable(f"{shown(name)} unpacks to more than {MOST_UNPACKED_BYTES // 2**20} MiB.")
                yield read_markdown(decode(_short(unpacked, entry.filename), entry.filename), entry.filename)
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ):
        raise Unreadable(f"{shown(name)} is no ZIP that can be read: it is damaged, or needs a password.") from None


def _entries(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".md")]
    # What macOS puts beside each file.
    entries = [entry for entry in entries if not entry.filename.startswith("__MACOSX/")]
    if not 0 < len(entries) <= MOST_FILES:
        raise Unreadable(f"{shown(name)} must hold 1 to {MOST_FILES:,} files whose names end with .md.")
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise Unreadable(f"{shown(name)}: {shown(entry.filename)} is a symbolic link. Pack the file itself.")
        # The others unpack as much at once as they like, whatever is asked for.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable(
                f"{shown(name)}: {shown(entry.filename)} is not packed by deflate, which every ZIP can be."
            )
    return entries


def decode(content: bytes, name: str) -> str:
    """The text of a file. Raises Unreadable."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{shown(name)} is not UTF-8: byte {error.start + 1} is no character.") from None


def read_markdown(text: str, name: str) -> Draft:
    """The article of a Markdown file of that name. Without anything in front, its title is its first heading, or the
    name. Raises Unreadable.
    """
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return Draft(shown(name), _titled(lines, name))
    fields: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if line.rstrip() == "---":
            body = "\n".join(lines[number:]).removesuffix("\r\n" if lines[0].endswith("\r") else "\n")
            return Draft(shown(name), {**fields, "body": body})
        key, colon, value = line.partition(":")
        key = key.strip()
        if not line.strip():
            continue
        if not colon or key not in COLUMNS or key == "body":
            names = ", ".join(column for column in COLUMNS if column != "body")
            raise Unreadable(f"{shown(name)}, line {number}: it must look like “title: Returns”, with one of {names}.")
        fields[key] = value.removeprefix(" ").removesuffix("\r")
    raise Unreadable(f"{shown(name)}: the line --- is missing that ends what stands in front.")


def _titled(lines: list[str], name: str) -> dict[str, str]:
    """Title and body of a text with nothing in front of it."""
    for number, line in enumerate(lines):
        if title := _heading(line):
            # A heading that begins the text is no part of it.
            begins = not any(line.strip() for line in lines[:number])
            return {"title": title, "body": "\n".join(lines[number + 1 :] if begins else lines).strip()}
    title = Path(name).stem.replace("-", " ").replace("_", " ").strip().capitalize()
    return {"title": title, "body": "\n".join(lines).strip()}


def _heading(line: str) -> str:
    """What a first heading says; "" where the line is none. Signs that close it stand apart (CommonMark 0.31, 4.2)."""
    if line[:1] != "#" or not line[1:2].isspace():
        return ""
    text = line[1:].strip()
    without = text.rstrip("#")
    return without.rstrip() if not without or without[-1].isspace() else text


def write_markdown(article: Article) -> str:
    """The article as a Markdown file."""
    front = "".join(f"{name}: {value}\n" for name, value in _cells(article).items() if name != "body")
    return f"---\n{front}---\n{article.body}\n"


def read_csv(text: str, name: str, *, most_rows: int | None = None) -> list[Draft]:
    """The articles of a CSV of that name, `most_rows` at most. Raises Unreadable."""
    csv.field_size_limit(MOST_CHARACTERS)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [column.strip() for column in next(rows, [])]
        _check_columns(columns, shown(name))
        drafts = list(islice(_drafts(rows, columns, shown(name)), most_rows and most_rows + 1))
    except csv.Error as error:
        raise Unreadable(f"{shown(name)}, line {rows.line_num}: this is no CSV: {error}.") from None
    if most_rows is not None and len(drafts) > most_rows:
        raise Unreadable(f"{shown(name)} has more than {most_rows:,} rows. Import it in parts.")
    return drafts


def _check_columns(columns: list[str], name: str) -> None:
    if not {"title", "body"} <= set(columns):
        raise Unreadable(f"{name}, line 1: the first line must name the columns, title and body among them.")
    if unknown := [column for column in columns if column not in COLUMNS]:
        raise Unreadable(f"{name}, line 1: there is no column {shown(unknown[0])!r}. There are {', '.join(COLUMNS)}.")
    if len(set(columns)) < len(columns):
        raise Unreadable(f"{name}, line 1: a column is there twice.")


def _drafts(rows: Iterator[list[str]], columns: list[str], name: str) -> Iterator[Draft]:
    begins = rows.line_num + 1  # type: ignore[attr-defined]
    for row in rows:
        place = f"{name}, line {begins}"
        begins = rows.line_num + 1  # type: ignore[attr-defined]
        if not row:
            continue
        if len(row) != len(columns):
            raise Unreadable(f"{place}: it has {len(row)} columns, the first line {len(columns)}.")
        yield Draft(place, dict(zip(columns, map(_bare, row), strict=True)))


def write_csv(articles: Iterable[Article]) -> Iterator[str]:
    """The lines of a CSV of the articles."""
    for row in [dict(zip(COLUMNS, COLUMNS, strict=True)), *map(_cells, articles)]:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(map(_guarded, row.values()))
        yield line.getvalue()


def _guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: one that begins like one gets an apostrophe in front.

    So does one that begins with apostrophes before that: `_bare` takes exactly one off again.
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _bare(cell: str) -> str:
    """The cell as it was before `_guarded`."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell, 1) else cell


def _cells(article: Article) -> dict[str, str]:
    return {name: str(getattr(article, name)) for name in COLUMNS}
