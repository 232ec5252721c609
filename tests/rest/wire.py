"""What the tests of HTTP share: requests exactly as written, streams as they were written, the shape of failures."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.db import connection

from tests.support.actors import Actor
from tests.support.client import SOON, script

JSON = {"Content-Type": "application/json"}
#: ISO 8601 UTC with Z, microseconds left out when zero.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status_code: int
    headers: http.client.HTTPMessage
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


def exchange(
    base: str, method: str, target: str, *, headers: dict[str, str] | None = None, body: bytes | Iterable[bytes] = b""
) -> Answer:
    """A request whose target and body are sent as they stand; a body in parts is sent chunked."""
    address = urlsplit(base)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    chunked = not isinstance(body, bytes)
    try:
        connection.putrequest(method, target)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None, encode_chunked=chunked)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def assert_refused(answer: httpx.Response | Answer, status: int, code: str, *, face: str = "lexicon") -> dict[str, Any]:
    """The answer is the failure, in the one shape of its face: its body."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-ID"]
    body = answer.json()
    if face == "customer":
        assert list(body) == ["error", "code"]
        assert body["code"] == code
        assert body["error"]
        return body
    assert list(body) == ["error_code", "error_message", "details"]
    assert body["error_code"] == code
    assert body["error_message"]
    assert body["details"]["fix"]
    return body


class Stream:
    """An SSE response, read write by write: the server sends each as one HTTP chunk."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.writes: list[bytes] = []
        self._reader = reader

    async def write(self) -> bytes:
        """The next write; empty at the end."""
        async with asyncio.timeout(SOON):
            size = int(await self._reader.readline(), 16)
            data = await self._reader.readexactly(size)
            assert await self._reader.readexactly(2) == b"\r\n"
        if data:
            self.writes.append(data)
        return data

    async def events(self) -> AsyncIterator[Any]:
        """The data of the events from here on."""
        while data := await self.write():
            if not data.startswith(b":"):
                yield data_of(data)

    async def until_said(self, text: str) -> None:
        """Read on until the reply has said this much."""
        said = ""
        async for event in self.events():
            said += event["text"]
            if text in said:
                return
        raise AssertionError(f"the reply ended and never said {text!r}: {said!r}")

    async def reads(self) -> AsyncIterator[bytes]:
        """What each read of the socket brings, as a client sees it that knows nothing of chunks."""
        size = -1
        while size:
            async with asyncio.timeout(SOON):
                rest = await self._reader.read(1 << 16)
            assert rest, "the connection ended within the response"
            data = b""
            while rest:
                line, _, rest = rest.partition(b"\r\n")
                size = int(line, 16)
                assert rest[size : size + 2] == b"\r\n", "a write was torn"
                data, rest = data + rest[:size], rest[size + 2 :]
            yield data

    async def finish(self) -> list[Any]:
        """The data of all events, read to the end."""
        while await self.write():
            pass
        return [data_of(write) for write in self.writes if not write.startswith(b":")]


def data_of(write: bytes) -> Any:
    """The data of an event, held byte for byte against the contract's frame."""
    match = re.fullmatch(rb"id: (\d+)\ndata: ([^\r\n]+)\n\n", write)
    assert match, write
    return "[DONE]" if match[2] == b"[DONE]" else json.loads(match[2])


@asynccontextmanager
async def posted(actor: Actor, conversation_id: str, message: str, slash: str = "") -> AsyncIterator[Stream]:
    """A message posted to a conversation, and the stream of its reply; leaving hangs up."""
    address = urlsplit(actor.base)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    body = json.dumps({"message": message}).encode()
    writer.write(
        f"POST /api/v1/customer/conversations/{conversation_id}/messages{slash} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: Bearer {actor.customer_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    try:
        async with asyncio.timeout(SOON):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        yield Stream(reader, int(first.split()[1]), headers)
    finally:
        writer.close()
        await writer.wait_closed()


def rows_holding(text: str) -> list[str]:
    """The tables with a row that holds the text in any of its columns, dashes or not."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            columns = connection.introspection.get_table_description(cursor, table)
            names = [connection.ops.quote_name(column.name) for column in columns]
            holds = " OR ".join(f"REPLACE(CAST({name} AS text), '-', '') LIKE %s" for name in names)
            cursor.execute(
                f"SELECT COUNT(*) FROM {connection.ops.quote_name(table)} WHERE {holds}",
                [f"%{text.replace('-', '')}%"] * len(names),
            )
            if cursor.fetchone()[0]:
                found.append(table)
    return found


def held(text: str, name: str) -> str:
    """A message that has the scripted model say this, and hold under this name after its first word."""
    return script(say=text, hold=name, hold_after=1)


def verbatim(*deltas: str) -> str:
    """A message that has the scripted model say exactly these deltas."""
    choices = [{"index": 0, "delta": {"content": delta}, "finish_reason": None} for delta in deltas]
    chunks = [{"choices": [choice]} for choice in [*choices, {"index": 0, "delta": {}, "finish_reason": "stop"}]]
    return script(raw=[f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"])


def said_by(events: list[Any]) -> str:
    """The text of a stream's deltas."""
    return "".join(event["text"] for event in events if event != "[DONE]" and event["type"] == "delta")
