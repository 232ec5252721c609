"""What does a page say that somebody sent, as an article?

Nothing of Django is imported: a foreign page is read in a process of its own (knowledge/parser_process.py).
"""

from __future__ import annotations

import re

from bs4 import BeautifulSoup, Tag
from bs4.exceptions import ParserRejectedMarkup
from markdownify import MarkdownConverter

from knowledge.article_files import Draft, Unreadable, read_markdown

#: Elements that may stand in each other. Beautiful Soup takes a paragraph that is never closed for one that all which
#: follows stands in, so that an old page has more of them than its author thought.
MOST_DEPTH = 500
#: Python's own bound is too narrow for so many: markdownify calls three functions for each.
RECURSION_LIMIT = 5 * MOST_DEPTH
#: Parts of a page that are not what it says.
_ASIDE = [
    *(
        "title",
        "script",
        "style",
        "noscript",
        "template",
        "nav",
        "header",
        "footer",
        "aside",
        "iframe",
        "svg",
        "button",
    ),
    *("img", "picture", "video", "audio", "canvas", "dialog", "input", "select"),
]
#: Longest title that an article can have.
_TITLE_CHARACTERS = 200


def read_page(url: str, content: bytes, kind: str, charset: str | None) -> Draft:
    """The page as an article whose source is its address. `kind` is its media type.

    Raises Unreadable.
    """
    is_text = kind in ("text/plain", "text/markdown")
    fields = _read_text(content, charset, url) if is_text else _read_html(content, charset, url)
    if not fields["body"]:
        raise Unreadable(f"{url}: the page holds no text. Pages that only a script fills can not be imported.")
    return Draft(url, {**fields, "source_url": url})


def _read_text(content: bytes, charset: str | None, url: str) -> dict[str, str]:
    text = _decode(content, charset).removeprefix("\ufeff").replace("\0", "")
    try:
        # What stands in front of it is the page's, not the tenant's: it sets no state and no id.
        fields = read_markdown(text, url.rstrip("/").rpartition("/")[2]).fields
    except Unreadable:
        fields = {"body": text.strip()}
    return {"title": _short(fields.get("title") or url), "body": fields["body"].strip()}


def _read_html(content: bytes, charset: str | None, url: str) -> dict[str, str]:
    try:
        page = BeautifulSoup(content, "html.parser", from_encoding=charset)
    except ParserRejectedMarkup:
        raise Unreadable(f"{url}: it is not HTML that can be read.") from None
    _check_depth(page, url)
    language = str(page.html.get("lang") or "") if isinstance(page.html, Tag) else ""
    heading = page.find("h1")
    title = (page.title or heading) if not heading or not heading.get_text(strip=True) else heading
    told = title.get_text(" ", strip=True) if title else ""
    for part in page(_ASIDE):
        part.decompose()
    if heading and not heading.decomposed:
        heading.decompose()
    main = page.find("main") or page.find("article") or page.body or page
    body = MarkdownConverter(heading_style="ATX", strip=["a"], bullets="-").convert_soup(main)
    lines = "\n".join(line.rstrip() for line in body.replace("\0", "").splitlines())
    fields = {"title": _short(told or url), "body": re.sub(r"\n{3,}", "\n\n", lines).strip()}
    return fields | ({"language": language} if language else {})


def _check_depth(page: BeautifulSoup, url: str) -> None:
    """Raises Unreadable. Markdown is made by functions that call themselves for each element in an element."""
    level: list[Tag] = [page]
    for _ in range(MOST_DEPTH):
        level = [child for element in level for child in element.children if isinstance(child, Tag)]
        if not level:
            return
    raise Unreadable(f"{url}: its elements are nested more than {MOST_DEPTH} deep.")


def _short(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:_TITLE_CHARACTERS]


def _decode(content: bytes, charset: str | None) -> str:
    """The text in the charset, if it is one; in UTF-8 otherwise."""
    try:
        return content.decode(charset or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", errors="replace")
