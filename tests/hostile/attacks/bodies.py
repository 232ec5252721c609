"""Bodies, frames and addresses that are small to send and large to read."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json

from tests.hostile.strike import ONE, Strike, attack, prose
from tests.hostile.wire import TEXT, Answer, frame

MIB = 2**20
MOST = MIB - 1_000


def bodies() -> dict[str, bytes]:
    """JSON by what it could hold up, each under 1 MiB."""
    keys = ", ".join(f'"{number * (2**61 - 1)}": 1' for number in range(40_000))
    return {
        "deep lists": b'{"user_id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "deep lists without an end": b"[" * MOST,
        "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "brackets in a text": b'{"user_id": "' + b"[" * MOST + b'"}',
        "a long number": b'{"user_id": ' + b"9" * (MOST - 100) + b"}",
        "a long fraction": b'{"user_id": 0.' + b"1" * (MOST - 100) + b"}",
        "an exponent": b'{"user_id": 1e' + b"9" * 1_000 + b"}",
        "many keys": ("{" + keys + "}").encode()[:MOST],
        "the same key": b"{" + b'"user_id": "x", ' * 60_000 + b'"user_id": "x"}',
        "escapes": b'{"user_id": "' + b"\\u0f81" * 170_000 + b'"}',
        "surrogates": b'{"user_id": "' + b"\\ud800" * 170_000 + b'"}',
        "backslashes": b'{"user_id": "' + b"\\\\" * 500_000 + b'"}',
        "white space": b" " * (MOST - 10) + b"{}",
        "many values": b'{"metadata": {"a": [' + b"0," * 500_000 + b"0]}}",
        "no UTF-8": b'{"user_id": "' + b"\xff" * MOST + b'"}',
        "nulls": b"\0" * MOST,
    }


@attack("hostile JSON", "JSON", quick=True)
async def hostile_json(strike: Strike) -> None:
    """To REST, the customer API and a WebSocket; none of it is an error of the service's."""
    key, customer = strike.cast["roomy"]["tenant_key"], strike.cast["roomy"]["customer_key"]
    for name, body in bodies().items():
        if strike.left <= 1:
            strike.note(f"came to {name}")
            return
        if strike.harmless:
            body = json.dumps({"user_id": prose(len(body) - 16)}).encode()
        for path, headers in (
            ("/api/v1/chats/", {"X-API-Key": key}),
            ("/api/v1/customer/conversations", {"Authorization": f"Bearer {customer}"}),
        ):
            async with await strike.connect() as connection:
                answer = await connection.request("POST", path, {**headers, "Content-Type": "application/json"}, body)
            strike.require(answer.status < 500, f"{name}: {path} answered {answer.status}")
        async with strike.chat("roomy") as socket:
            await socket.send(frame(TEXT, body))
            with contextlib.suppress(EOFError, TimeoutError):
                async with asyncio.timeout(2):
                    event = await socket.until("error", "message_received")
                    strike.require(event.get("error_code") != "INTERNAL_ERROR", f"{name}: the socket's INTERNAL_ERROR")


@attack("packed bodies", "JSON", on=ONE)
async def packed_bodies(strike: Strike) -> None:
    """gzip of 100 MiB of zeros, to whatever takes a body."""
    packed = gzip.compress(b"\0" * (100 * MIB), 6)
    for path in ("/api/v1/chats/", "/api/v1/customer/conversations", "/admin/login/", "/chat", "/"):
        async with await strike.connect() as connection:
            headers = {"X-API-Key": strike.cast["roomy"]["tenant_key"], "Content-Type": "application/json"}
            if strike.harmless:
                body = json.dumps({"user_id": prose(len(packed))}).encode()
            else:
                headers, body = {**headers, "Content-Encoding": "gzip"}, packed
            answer = await connection.request("POST", path, headers, body)
        strike.require(answer.status < 500, f"{path} answered {answer.status}")


@attack("forms", "JSON", on=ONE)
async def forms(strike: Strike) -> None:
    """Forms of very many fields and parts, to the pages that take any."""
    boundary = "x"
    parts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{number}"; filename="f"\r\n\r\n\r\n'.encode()
        for number in range(12_000)
    )
    multipart = f"multipart/form-data; boundary={boundary}"
    shapes = (
        ("application/x-www-form-urlencoded", b"&".join(b"%d=" % number for number in range(120_000))),
        ("application/x-www-form-urlencoded", b"a=" + b"%u" * 500_000),
        (multipart, parts + b"--x--\r\n"),
        (multipart, b"--x\r\nContent-Disposition: form-data; name=a" + b"; a*0=b" * 140_000 + b"\r\n\r\n\r\n--x--\r\n"),
        (multipart, b"--x\r\n" + b"X: y\r\n" * 160_000),
        (multipart, b"--" * 500_000),
        (multipart, b"\r\n--x" * 200_000),
        ("multipart/form-data; boundary=" + "x" * 5_000, b"-" * 500_000),
    )
    for number, (kind, body) in enumerate(shapes):
        for path in ("/admin/login/", "/chat"):
            if strike.left <= 1:
                return
            if strike.harmless:
                kind, body = "application/x-www-form-urlencoded", b"a=" + prose(len(body)).replace(" ", "+").encode()
            async with await strike.connect() as connection:
                answer = await connection.request("POST", path, {"Content-Type": kind}, body)
            strike.require(answer.status < 500, f"form {number}: {path} answered {answer.status}")


@attack("as fast as limits let", "limits")
async def as_fast_as_limits_let(strike: Strike) -> None:
    """10,000 Idempotency-Keys and as many client_message_ids, of a tenant whose limits are the usual ones."""
    key = strike.cast["acme"]["tenant_key"]
    left = 10_000

    async def post() -> None:
        nonlocal left
        async with await strike.connect() as connection:
            while left > 0 and strike.left > 4:
                left -= 1
                headers = {"X-API-Key": key, "Content-Type": "application/json"}
                if not strike.harmless:
                    headers["Idempotency-Key"] = str(left)
                await connection.request("POST", "/api/v1/chats/", headers, b'{"user_id": "mallory"}')

    async def talk() -> None:
        async with strike.chat("acme") as socket:
            for number in range(10_000):
                if strike.left <= 4:
                    return
                await socket.say("hello", **({} if strike.harmless else {"client_message_id": str(number)}))
                await asyncio.sleep(0.001)

    with contextlib.suppress(OSError, EOFError, ValueError):
        await asyncio.gather(talk(), *(post() for _ in range(10)))


@attack("deep pages", "limits")
async def deep_pages(strike: Strike) -> None:
    """The last pages of long lists and histories, the largest limits, filters that find nothing; by twenty at once."""
    key, chat = strike.cast["roomy"]["tenant_key"], strike.cast["deep_chat"]
    huge = 10**18
    paths = [
        f"/api/v1/chats/{chat}/messages/?offset=7900&limit=100",
        f"/api/v1/chats/{chat}/messages/?offset=0&limit=100000",
        f"/api/v1/chats/{chat}/messages/?offset={huge}&limit={huge}",
        f"/api/v1/chats/?offset={huge}&limit={huge}",
        "/api/v1/chats/?offset=900&limit=100&status=closed",
        f"/api/v1/chats/user/{'%F0%9F%92%A9' * 500}",
        "/api/v1/chats/user/deep?offset=900&limit=100",
    ]

    async def one(number: int) -> None:
        for turn in range(10):
            if strike.left <= 2:
                return
            path = (
                f"/api/v1/chats/{chat}/messages/?limit=10" if strike.harmless else paths[(number + turn) % len(paths)]
            )
            answer: Answer = await strike.ask("GET", path, X_API_Key=key)
            strike.require(answer.status < 500, f"{path[:60]} answered {answer.status}")

    await asyncio.gather(*(one(number) for number in range(20)))


@attack("replay of everything", "limits")
async def replay_of_everything(strike: Strike) -> None:
    """Forty sockets ask for all that was ever said in a long chat, and come back for it."""
    key, chat = strike.cast["roomy"]["tenant_key"], strike.cast["deep_chat"]

    async def one() -> None:
        while strike.left > 4:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                async with asyncio.timeout(3), await strike.connect() as socket:
                    after = {"after": "7990"} if strike.harmless else {"after": "0"}
                    await socket.upgrade(api_key=key, user_id="deep", chat_id=chat, **after)
                    await socket.until("replay_ended", "error")
                    await asyncio.sleep(0.1 if not strike.harmless else 0.3)

    await asyncio.gather(*(one() for _ in range(40)))
