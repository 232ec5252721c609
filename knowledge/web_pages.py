"""What does a web page say, as an article?

The address of the page may be one that only this server reaches: every connection, redirects' too, goes through
`core.outbound`. What it sends is read in a process of its own (knowledge/parser_process.py).
"""

from __future__ import annotations

import asyncio
from urllib.parse import urljoin

import aiohttp

from core import outbound
from knowledge import parser_process
from knowledge.article_files import Draft, Unreadable

#: Seconds that a page may take in all, redirects included.
MOST_SECONDS = 10.0
#: Redirects that are followed.
MOST_REDIRECTS = 3
#: Largest page, in bytes.
MOST_BYTES = 2 * 1024 * 1024
_TYPES = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown")
_REDIRECTS = (301, 302, 303, 307, 308)


def read_page(url: str) -> Draft:
    """The page as an article whose source is the address that was asked for. Raises Unreadable."""
    return asyncio.run(fetch_page(url))


async def fetch_page(url: str, session: aiohttp.ClientSession | None = None) -> Draft:
    """The same, in an event loop. `session` is one of `core.outbound` (default: a new one)."""
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
    return await asyncio.to_thread(parser_process.read_page, url, content, kind, charset)


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
            content = bytearray()
            async for chunk in answer.content.iter_any():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise Unreadable(f"{url}: the page is larger than {MOST_BYTES // 2**20} MiB.")
            return bytes(content), answer.content_type, answer.charset
    raise Unreadable(f"{url}: it redirects more than {MOST_REDIRECTS} times.")
