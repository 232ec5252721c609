"""What does a web page say, as an article?

Whoever names the page may name one that only this server reaches: every connection, redirects' too, goes through
`lexicon.outbound`.
"""

from __future__ import annotations

import asyncio
import codecs
from urllib.parse import urljoin

import aiohttp
from bs4 import BeautifulSoup, Tag
from markdownify import MarkdownConverter

from agents.article_files import Draft, Unreadable, read_markdown
from lexicon import outbound

#: Seconds that a page may take in all, redirects included.
MOST_SECONDS = 10.0
#: Redirects that are followed.
MOST_REDIRECTS = 3
#: Largest page, in bytes.
MOST_BYTES = 2 * 1024 * 1024
_TYPES = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown")
_REDIRECTS = (301, 302, 303, 307, 308)
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


def read_page(url: str) -> Draft:
    """The page as an article whose source is the address that was asked for. Raises Unreadable."""
    return asyncio.run(fetch_page(url))


async def fetch_page(url: str, session: aiohttp.ClientSession | None = None) -> Draft:
    """The same, in an event loop. `session` is one of `lexicon.outbound` (default: a new one)."""
    try:
        async with asyncio.timeout(MOST_SECONDS):
            # The answer's bytes are counted as they come, so they must not be packed.
            headers = {"User-Agent": "Lexicon", "Accept-Encoding": "identity"}
            async with session or outbound.session(headers=headers) as open_session:
                content, kind, charset = await _get(open_session, url)
    except outbound.Forbidden as error:
        raise Unreadable(f"{url}: the address {error}.") from None
    except TimeoutError:
        raise Unreadable(f"{url}: it did not answer within {MOST_SECONDS:.0f} seconds.") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreadable(f"{url}: there was no connection, or it broke off ({type(error).__name__}).") from None
    # A large page takes its time.
    fields = await asyncio.to_thread(_read, content, kind, charset, url)
    if not fields["body"]:
        raise Unreadable(f"{url}: the page holds no text. Pages that only a script fills can not be imported.")
    return Draft(url, {**fields, "source_url": url})


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[bytes, str, str | None]:
    """The page's bytes, their media type and charset."""
    address = url
    for _ in range(MOST_REDIRECTS + 1):
        async with session.get(outbound.check_url(address), allow_redirects=False) as answer:
            if answer.status in _REDIRECTS and "Location" in answer.headers:
                address = urljoin(address, answer.headers["Location"])
                continue
            if answer.status != 200:
                raise Unreadable(f"{url}: it answered {answer.status}.")
            if answer.content_type not in _TYPES:
                raise Unreadable(f"{url}: it is {answer.content_type}, not a page of text.")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise Unreadable(f"{url}: it is compressed, although it was asked not to be.")
            content = b""
            async for chunk in answer.content.iter_any():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise Unreadable(f"{url}: the page is larger than {MOST_BYTES // 2**20} MiB.")
            return content, answer.content_type, answer.charset
    raise Unreadable(f"{url}: it redirects more than {MOST_REDIRECTS} times.")


def _read(content: bytes, kind: str, charset: str | None, url: str) -> dict[str, str]:
    if kind in ("text/plain", "text/markdown"):
        text = content.decode(_known(charset), errors="replace").removeprefix("\ufeff").replace("\0", "")
        try:
            # What stands in front of it is the page's, not the tenant's: it sets no state and no id.
            fields = read_markdown(text, url.rstrip("/").rpartition("/")[2]).fields
        except Unreadable:
            fields = {"body": text.strip()}
        return {"title": _short(fields.get("title") or url), "body": fields["body"].strip()}
    page = BeautifulSoup(content, "html.parser", from_encoding=charset)
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
    while "\n\n\n" in lines:
        lines = lines.replace("\n\n\n", "\n\n")
    fields = {"title": _short(told or url), "body": lines.strip()}
    return fields | ({"language": language} if language else {})


def _short(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:_TITLE_CHARACTERS]


def _known(charset: str | None) -> str:
    """The charset, if it is one; UTF-8 otherwise."""
    try:
        return codecs.lookup(charset or "utf-8").name
    except LookupError:
        return "utf-8"
