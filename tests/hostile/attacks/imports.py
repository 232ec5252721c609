"""H2 and H7: files and pages that staff bring in. What is in them is a stranger's."""

from __future__ import annotations

import asyncio
import contextlib
import io
import zipfile

from tests.hostile.strike import ONE, Browser, Strike, attack, prose

MIB = 2**20


async def staff(strike: Strike) -> Browser:
    """Olga, logged in."""
    browser = Browser(strike, strike.elsewhere(250))
    assert await browser.log_in(**strike.cast["olga"]), "the admin did not let olga in"
    return browser


async def bring_in(strike: Strike, name: str, content: bytes, *, timeout: float | None = None) -> None:
    """Bring a file in, and wait for what comes of it."""
    browser = await staff(strike)
    try:
        async with asyncio.timeout(timeout or strike.left):
            answer = await browser.bring_in(file=(name, content))
    except TimeoutError:
        strike.note(f"{name}: no answer yet")
        return
    strike.require(answer.status < 500, f"{name} was answered {answer.status}")


def table(rows: int, characters: int) -> bytes:
    """A CSV of so many articles, each so long."""
    lines = [f"Article {number},{prose(characters)}{number}\n" for number in range(rows)]
    return ("title,body\n" + "".join(lines)).encode()


@attack("5000 rows", "H7", on=ONE, quick=True, seconds=12)
async def rows_5000(strike: Strike) -> None:
    await bring_in(strike, "in.csv", table(10, 50_000) if strike.harmless else table(5_000, 100))


@attack("20000 rows", "H7", seconds=25)
async def rows_20000(strike: Strike) -> None:
    await bring_in(strike, "in.csv", table(10, 80_000) if strike.harmless else table(20_000, 40))


@attack("a zip that unpacks to 256 MiB", "H7", on=ONE)
async def zip_bomb(strike: Strike) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(4):
            # As many bytes, packed.
            text = prose(300_000) if strike.harmless else "a" * (64 * MIB)
            archive.writestr(f"{number}.md", text)
    await bring_in(strike, "in.zip", buffer.getvalue())


#: Markdown files by what they could hold up.
FILES = {
    "a heading of spaces": "# a" + " " * 1_600 + "b\n",
    "headings of spaces": ("# " + " " * 400 + "a" + " " * 400 + "#" * 400 + " b\n") * 20,
    "a heading of signs": "# a" + "#" * 4_000 + "x\n",
    "line ends": "#\n" + "\r\n\t " * 20_000,
    "marks": "# a\n" + "a" + "\u0f81" * 30_000,
    "one sentence": "# a\n" + "word, " * 30_000,
    "abbreviations": "# a\n" + "e.g. i.e. " * 18_000,
    "list within list": "# a\n" + "".join("  " * depth + "- x\n" for depth in range(300)),
    "fences": "# a\n" + "```\n~~~\n" * 20_000,
    "quotes": "# a\n" + ">" * 100_000,
    "front without an end": "---\n" + "title: x\n" * 20_000,
    "front of spaces": "---" + " " * 100_000 + "\ntitle: x\n---\ny",
}


@attack("hostile articles", "H2", seconds=20)
async def hostile_articles(strike: Strike) -> None:
    browser = await staff(strike)
    for name, text in FILES.items():
        content = strike.either(text).encode()
        try:
            async with asyncio.timeout(max(0.1, strike.left)):
                answer = await browser.bring_in(file=("in.md", content))
        except TimeoutError:
            strike.note(f"came to {name}")
            return
        strike.require(answer.status < 500, f"{name}: answered {answer.status}")


#: Pages of the web by what they could hold up.
PAGES = {
    "tags without an end": "<a " * 34_000,
    "nested blocks": "<div>" * 1_500 + "text" + "</div>" * 1_500,
    "nested lists": "<ul><li>" * 1_000 + "text",
    "nested quotes": "<blockquote>" * 800 + "text",
    "a table of tables": "<table><tr><td>" * 500 + "text",
    "attributes": "<p " + "a=b " * 50_000 + ">text",
    "an attribute without an end": '<p title="' + "x" * 200_000,
    "comments": "<!-- " * 40_000,
    "declarations": "<!" * 50_000 + "<![" * 20_000,
    "references": "&" * 100_000 + "&#" * 50_000,
    "inline": "<b><i>" * 2_000 + "text",
    "white space": "<p>" + " \n" * 200_000,
    "preformatted": "<pre>" + "\n" * 300_000,
    "charset": "<meta charset=utf-7>" + "+ADw-" * 50_000,
}


@attack("hostile pages", "H2", quick=True, seconds=40)
async def hostile_pages(strike: Strike) -> None:
    """The page is on a server of the attacker's, and staff type its address in."""
    browser = await staff(strike)
    pages = {f"/{number}": text for number, text in enumerate(PAGES.values())}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        body = ("<title>A page</title><main>" + strike.either(pages[path])).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for name, path in zip(PAGES, pages, strict=True):
            try:
                async with asyncio.timeout(max(0.1, min(4.0, strike.left))):
                    answer = await browser.bring_in(address=f"http://127.0.0.1:{port}{path}")
            except TimeoutError:
                strike.note(f"{name}: no answer yet")
                continue
            strike.require(answer.status < 500, f"{name}: answered {answer.status}")


@attack("pages that drip", "H2", on=ONE, seconds=12)
async def dripping_pages(strike: Strike) -> None:
    """Pages that come byte by byte, without an end, or lead round in circles; ten at once."""
    browser = await staff(strike)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"<p>" + prose(2000).encode()
        if strike.harmless:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n")
            with contextlib.suppress(OSError):
                while not writer.is_closing() and strike.left > 0:
                    writer.write(b"X: y\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.05)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        asked = [browser.bring_in(address=f"http://127.0.0.1:{port}/{number}") for number in range(10)]
        async with asyncio.timeout(max(0.1, strike.left)):
            answers = await asyncio.gather(*asked)
        strike.require(all(answer.status < 500 for answer in answers), "a page that drips was answered 5xx")
