"""A web page as an article: what is taken from it, and what is never asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from knowledge import web_pages
from knowledge.article_files import Unreadable
from knowledge.web_pages import MOST_BYTES, fetch_page

#: No database decides it.
pytestmark = pytest.mark.once

PAGE = """<!doctype html><html lang="de"><head><title>Shop – Versand</title><style>p{}</style></head>
<body><nav><a href="/">Start</a></nav><main><h1>Versand</h1><p>Wir liefern <b>schnell</b>.</p>
<ul><li>Eins</li><li>Zwei</li></ul><script>alert(1)</script></main><footer>Impressum</footer></body></html>"""

Serve = Callable[..., str]


@pytest.fixture
async def serve(settings: Any) -> AsyncIterator[Serve]:
    """A page by what it answers, on a host that the operator allows by its name only: its address stays private."""
    settings.OUTBOUND_ALLOW = ["localhost"]
    pages: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}

    async def handle(request: web.Request) -> web.StreamResponse:
        return await pages[request.path](request)

    app = web.Application()
    app.router.add_get("/{name}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]

    def add(name: str = "page", **answer: Any) -> str:
        async def answered(request: web.Request) -> web.StreamResponse:
            headers = {k: v.replace("PORT", str(port)) for k, v in answer.get("headers", {}).items()}
            return web.Response(**{**answer, "headers": headers})

        pages[f"/{name}"] = answer.get("by", answered)
        return f"http://localhost:{port}/{name}"

    yield add
    await runner.cleanup()


async def problem(url: str) -> str:
    with pytest.raises(Unreadable) as refused:
        await fetch_page(url)
    return str(refused.value)


async def test_a_page_is_its_heading_and_its_text(serve: Serve) -> None:
    url = serve(text=PAGE, content_type="text/html")
    draft = await fetch_page(url)
    assert draft.fields == {
        "title": "Versand",
        "body": "Wir liefern **schnell**.\n\n- Eins\n- Zwei",
        "language": "de",
        "source_url": url,
    }


async def test_a_page_in_another_charset_is_read(serve: Serve) -> None:
    html = "<title>Größe</title><p>Süß und schön".encode("latin-1")
    draft = await fetch_page(serve(body=html, headers={"Content-Type": "text/html; charset=iso-8859-1"}))
    assert (draft.fields["title"], draft.fields["body"]) == ("Größe", "Süß und schön")


async def test_markdown_is_taken_as_it_is_but_sets_no_state_and_no_id(serve: Serve) -> None:
    text = "---\ntitle: Returns\nid: 1\nstate: draft\n---\nSend *it*.\n"
    draft = await fetch_page(serve("returns.md", text=text, content_type="text/markdown"))
    assert {k: v for k, v in draft.fields.items() if k != "source_url"} == {"title": "Returns", "body": "Send *it*."}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "http://example.com/",
        "https://user:secret@example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
    ],
)
async def test_what_only_this_server_reaches_is_never_asked(url: str) -> None:
    assert "the address" in await problem(url)


@pytest.mark.parametrize("target", ["http://127.0.0.1:PORT/page", "https://169.254.169.254/", "file:///etc/passwd"])
async def test_a_redirect_to_where_nobody_may_go_is_not_followed(serve: Serve, target: str) -> None:
    serve(text=PAGE, content_type="text/html")
    assert "the address" in await problem(serve("moved", status=302, headers={"Location": target}))


async def test_a_redirect_is_followed_and_the_source_is_what_was_asked_for(serve: Serve) -> None:
    serve(text=PAGE, content_type="text/html")
    url = serve("moved", status=301, headers={"Location": "/page"})
    assert (await fetch_page(url)).fields["source_url"] == url


async def test_redirects_without_an_end_are_given_up(serve: Serve) -> None:
    assert "redirects more than 3 times" in await problem(serve("round", status=302, headers={"Location": "/round"}))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": 404}, "it answered 404"),
        ({"body": b"%PDF", "content_type": "application/pdf"}, "it is application/pdf, not a page of text"),
        ({"text": "<p></p>", "content_type": "text/html"}, "the page holds no text"),
        ({"body": b"x" * (MOST_BYTES + 1), "content_type": "text/plain"}, "larger than 2 MiB"),
        ({"body": b"x", "headers": {"Content-Encoding": "gzip", "Content-Type": "text/html"}}, "it is compressed"),
    ],
)
async def test_what_is_no_page_is_refused(serve: Serve, answer: dict[str, Any], expected: str) -> None:
    assert expected in await problem(serve(**answer))


async def test_a_page_that_never_ends_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_pages, "MOST_SECONDS", 0.3)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    assert "did not answer within" in await problem(serve(by=drip))
