"""How is an article written in a file?

Markdown with its other fields in front, between two lines of `---`; or a row of a CSV whose first row names the
columns. What is written is read back as exactly the same.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.models import TEXT_FIELDS, Article

#: The columns of a CSV, and the names in front of a Markdown file, which has its body after them.
COLUMNS = ("id", *TEXT_FIELDS)
#: Largest file that is uploaded, and most of what a ZIP unpacks to, in bytes; and most files in it.
MOST_BYTES = 5 * 2**20
MOST_FILES = 500
#: Longest cell of a CSV, in characters.
MOST_CHARACTERS = 1_000_000
_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Draft:
    """An article as a file has it. Fields that the file does not name are not there."""

    #: Where in the file or folder it stands, for who reads an error.
    place: str
    fields: dict[str, str]


class Unreadable(Exception):
    """Nothing of it can be read. The message says where, and what to put right."""


def read_folder(folder: Path) -> list[Draft]:
    """The articles of the Markdown files in a folder and those beneath, in the order of their names.

    Raises Unreadable.
    """
    paths = sorted(path for path in folder.rglob("*.md") if path.is_file())
    if not paths:
        raise Unreadable(f"There is no file in {folder} whose name ends with .md.")
    return [read_markdown(decode(path.read_bytes(), str(path)), str(path.relative_to(folder))) for path in paths]


def read_upload(name: str, content: bytes) -> list[Draft]:
    """The articles of a file that somebody sent: a CSV, Markdown, or a ZIP of Markdown. Raises Unreadable."""
    if len(content) > MOST_BYTES:
        raise Unreadable(f"{name} is larger than {MOST_BYTES // 2**20} MiB.")
    match Path(name).suffix.lower():
        case ".csv":
            return read_csv(decode(content, name), name)
        case ".md" | ".markdown":
            return [read_markdown(decode(content, name), name)]
        case ".zip":
            return list(_zipped(name, content))
    raise Unreadable(f"{name}: its name must end with .csv, .md or .zip.")


def _zipped(name: str, content: bytes) -> Iterator[Draft]:
    room = MOST_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".md")]
            # What macOS puts beside each file.
            entries = [entry for entry in entries if not entry.filename.startswith("__MACOSX/")]
            if not 0 < len(entries) <= MOST_FILES:
                raise Unreadable(f"{name} must hold 1 to {MOST_FILES} files whose names end with .md.")
            for entry in sorted(entries, key=lambda entry: entry.filename):
                with archive.open(entry) as file:
                    # What it says its size is may be a lie.
                    unpacked = file.read(room + 1)
                room -= len(unpacked)
                if room < 0:
                    raise Unreadable(f"{name} unpacks to more than {MOST_BYTES // 2**20} MiB.")
                yield read_markdown(decode(unpacked, entry.filename), entry.filename)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError):
        raise Unreadable(f"{name} is no ZIP that can be read: it is damaged, or needs a password.") from None


def decode(content: bytes, name: str) -> str:
    """The text of a file. Raises Unreadable."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{name} is not UTF-8: byte {error.start + 1} is no character.") from None


def read_markdown(text: str, name: str) -> Draft:
    """The article of a Markdown file of that name. Without anything in front, its title is its first heading, or the
    name. Raises Unreadable.
    """
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        heading = _HEADING.search(text)
        if heading and not text[: heading.start()].strip():
            return Draft(name, {"title": heading[1], "body": text[heading.end() :].strip()})
        title = heading[1] if heading else Path(name).stem.replace("-", " ").replace("_", " ").strip().capitalize()
        return Draft(name, {"title": title, "body": text.strip()})
    fields: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if line.rstrip() == "---":
            body = "\n".join(lines[number:]).removesuffix("\r\n" if lines[0].endswith("\r") else "\n")
            return Draft(name, {**fields, "body": body})
        key, colon, value = line.partition(":")
        key = key.strip()
        if not line.strip():
            continue
        if not colon or key not in COLUMNS or key == "body":
            names = ", ".join(column for column in COLUMNS if column != "body")
            raise Unreadable(f"{name}, line {number}: it must look like “title: Returns”, with one of {names}.")
        fields[key] = value.removeprefix(" ").removesuffix("\r")
    raise Unreadable(f"{name}: the line --- is missing that ends what stands in front.")


def write_markdown(article: Article) -> str:
    """The article as a Markdown file."""
    front = "".join(f"{name}: {value}\n" for name, value in _cells(article).items() if name != "body")
    return f"---\n{front}---\n{article.body}\n"


def read_csv(text: str, name: str) -> list[Draft]:
    """The articles of a CSV of that name. Raises Unreadable."""
    csv.field_size_limit(MOST_CHARACTERS)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [column.strip() for column in next(rows, [])]
        _check_columns(columns, name)
        return list(_drafts(rows, columns, name))
    except csv.Error as error:
        raise Unreadable(f"{name}, line {rows.line_num}: this is no CSV: {error}.") from None


def _check_columns(columns: list[str], name: str) -> None:
    if not {"title", "body"} <= set(columns):
        raise Unreadable(f"{name}, line 1: the first line must name the columns, title and body among them.")
    if unknown := [column for column in columns if column not in COLUMNS]:
        raise Unreadable(f"{name}, line 1: there is no column {unknown[0]!r}. There are {', '.join(COLUMNS)}.")
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
        yield Draft(place, dict(zip(columns, row, strict=True)))


def write_csv(articles: Iterable[Article]) -> Iterator[str]:
    """The lines of a CSV of the articles."""
    for row in [dict(zip(COLUMNS, COLUMNS, strict=True)), *map(_cells, articles)]:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(row.values())
        yield line.getvalue()


def _cells(article: Article) -> dict[str, str]:
    return {name: str(getattr(article, name)) for name in COLUMNS}
