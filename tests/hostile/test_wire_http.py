"""HTTP without end, without bounds, or without anything: it costs the client its connection, and nobody else anything.

A server of its own gives heads and bodies two seconds.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from lexicon.server.http_protocol import MAX_HEAD
from tests.conftest import served
from tests.hostile.raw_client import SOON, TEXT, Raw, assert_serves, errors, handshake, log, refusals, refused, wait_for
from tests.rest.wire import assert_refused
from tests.support.actors import Actor
from tests.support.servers import Server

#: No database decides it.
pytestmark = pytest.mark.once

MIB = 1024 * 1024
SECONDS = 2.0
HOST = b"Host: 127.0.0.1\r\n"
#: What is sent in vain at most: what both kernels and the server take in passing.
IN_VAIN = 32 * MIB


@pytest.fixture(scope="module")
def quick(pristine: str, model_server: str, folder: Path) -> Iterator[Server]:
    yield from served(folder / "wire-http.log", model_server, HEAD_SECONDS=f"{SECONDS:g}", BODY_SECONDS=f"{SECONDS:g}")


@pytest.fixture
def server(quick: Server) -> Server:
    return quick


# --- Heads ---

#: What comes after the request line and Host, each over 64 KiB with them.
TOO_LONG = {
    "one header": b"X-Long: " + b"a" * MAX_HEAD + b"\r\n\r\n",
    "a header without an end": b"X-Long: " + b"a" * 8 * MIB,
    "a name without an end": b"a" * 8 * MIB,
    "many headers": b"X-Some: some\r\n" * 8 * 1024 + b"\r\n",
    "many tiny headers": b"a:\r\n" * 16 * 1024 + b"\r\n",
    "tiny headers without an end": b"a:\r\n" * 2 * MIB,
    "cookies": b"Cookie: a=b\r\n" * 8 * 1024 + b"\r\n",
    "little more than 64 KiB": b"X-Long: " + b"a" * (MAX_HEAD - 40) + b"\r\n\r\n",
}


@pytest.mark.parametrize("path", [b"/healthz", b"/", b"/api/v1/chats/", b"/admin/login/", b"/static/none"])
def test_a_head_over_64_kib_is_431(server: Server, path: bytes) -> None:
    with refused(server, "head"), Raw(server) as client:
        client.flood(b"GET " + path + b" HTTP/1.1\r\n" + HOST + TOO_LONG["one header"], 1)
        assert_refused(client.answer(), 431, "INVALID_REQUEST")
        assert client.rest() == b""


@pytest.mark.parametrize("rest", TOO_LONG.values(), ids=TOO_LONG)
def test_whatever_the_head_is_long_of_it_is_refused(server: Server, rest: bytes) -> None:
    with refused(server, "head"), Raw(server) as client:
        client.flood(b"GET / HTTP/1.1\r\n" + HOST + rest, 1)
        assert client.answer().status_code == 431


@pytest.mark.parametrize("end", [b" HTTP/1.1\r\n\r\n", b""], ids=["whole", "without an end"])
def test_a_request_line_over_64_kib_is_refused(server: Server, end: bytes) -> None:
    with refused(server, "head"), Raw(server) as client:
        client.flood(b"GET /?" + b"a" * (MAX_HEAD + 8192) + end, 1)
        assert_refused(client.answer(), 431, "INVALID_REQUEST")
        assert client.rest() == b""


def test_the_customer_face_says_400_in_its_own_shape(server: Server) -> None:
    with refused(server, "head"), Raw(server) as client:
        client.send(b"POST /api/v1/customer/conversations HTTP/1.1\r\n" + HOST + TOO_LONG["one header"])
        assert_refused(client.answer(), 400, "INVALID_REQUEST", face="customer")


def test_a_later_head_of_a_connection_has_the_same_bound(server: Server) -> None:
    with refused(server, "head"), Raw(server) as client:
        for _ in range(3):
            client.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert client.answer().status_code == 200
        client.send(b"GET /healthz HTTP/1.1\r\n" + HOST + TOO_LONG["one header"])
        assert client.answer().status_code == 431


def test_a_head_of_nearly_64_kib_is_read(server: Server) -> None:
    with Raw(server) as client:
        for _ in range(2):
            client.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Long: " + b"a" * (MAX_HEAD - 200) + b"\r\n\r\n")
            assert client.answer().status_code == 200


@pytest.mark.parametrize(
    "after",
    [b"0\r\nX-Long: " + b"a" * MIB, b"0\r\n" + b"a: b\r\n" * MIB, b"1;" + b"a" * MIB, b"1\r\na\r\n1;b=" + b"c" * MIB],
    ids=["a trailer", "trailers", "an extension of a chunk", "an extension of a later chunk"],
)
def test_what_surrounds_a_body_has_the_bound_of_a_head(server: Server, after: bytes) -> None:
    with refused(server, "head"), Raw(server) as client:
        client.flood(b"POST /api/v1/chats/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + after, 1)
        assert_refused(client.answer(), 431, "INVALID_REQUEST")
        assert client.rest() == b""


def test_trailers_are_no_headers(server: Server, acme: Actor) -> None:
    with Raw(server) as client:
        client.send(
            b"GET /api/v1/chats/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
            b"0\r\nX-API-Key: " + acme.tenant_key.encode() + b"\r\n\r\n"
        )
        assert client.answer().status_code == 401


# --- Time ---


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"G", b"GET /healthz HTTP/1.1\r\nHos", b"GET /healthz HTTP/1.1\r\n" + HOST],
    ids=["nothing", "an empty line", "a letter", "a part", "all but its end"],
)
def test_a_head_that_does_not_come_closes_the_connection(server: Server, sent: bytes) -> None:
    with refused(server, "head_time"), Raw(server) as client:
        client.send(sent)
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("begin", "byte"),
    [(b"GET /", b"a"), (b"GET / HTTP/1.1\r\nX: ", b"a"), (b"GET / HTTP/1.1\r\n", b"a: b\r\n"), (b"", b"\r\n")],
    ids=["a path", "a header", "headers", "empty lines"],
)
def test_a_head_that_trickles_has_no_more_time(server: Server, begin: bytes, byte: bytes) -> None:
    began = time.monotonic()
    with refused(server, "head_time"), Raw(server) as client, contextlib.suppress(ConnectionError):
        client.send(begin)
        while time.monotonic() < began + SOON:
            client.send(byte)
            client.socket.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                if not client.socket.recv(1):
                    break
        else:
            raise AssertionError("it trickles on")


def test_the_next_head_of_a_connection_has_its_own_time(server: Server) -> None:
    with refused(server, "head_time"), Raw(server) as client:
        client.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.answer().status_code == 200
        client.send(b"GET /healthz HTTP/1.1\r\n")
        assert client.rest() == b""


def test_a_connection_that_is_kept_alive_has_longer_than_a_head(server: Server) -> None:
    with Raw(server) as client:
        for pause in (0.0, SECONDS + 0.5, 0.0):
            time.sleep(pause)  # The time itself is what is tried.
            client.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert client.answer().status_code == 200


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        (b"Content-Length: 100\r\n", b""),
        (b"Content-Length: 100\r\n", b'{"user_id":'),
        (b"Content-Length: 100\r\nExpect: 100-continue\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nab"),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\n"),
    ],
    ids=["nothing", "a part", "nothing after 100", "no chunk", "a part of a chunk", "no end"],
)
@pytest.mark.parametrize("path", [b"/healthz", b"/api/v1/chats/"])
def test_a_body_that_falls_silent_closes_the_connection(
    server: Server, path: bytes, headers: bytes, sent: bytes
) -> None:
    with refused(server, "body_time"), Raw(server) as client:
        client.send(b"POST " + path + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n" + sent)
        assert client.rest() in (b"", b"HTTP/1.1 100 Continue\r\n\r\n")
    assert errors(server) == []


def test_a_body_that_is_slow_but_never_silent_is_read(server: Server, acme: Actor) -> None:
    body = b'{"user_id": "a"}'
    with Raw(server) as client:
        client.send(
            b"POST /api/v1/chats/ HTTP/1.1\r\n" + HOST + b"X-API-Key: " + acme.tenant_key.encode() + b"\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        for start in range(0, len(body), 2):
            time.sleep(SECONDS / 4)  # Twice the time that it may be silent, in all.
            client.send(body[start : start + 2])
        assert client.answer().status_code == 201


def test_half_open_connections_are_closed(server: Server) -> None:
    with refused(server, "head_time", least=200), contextlib.ExitStack() as stack:
        for client in [stack.enter_context(Raw(server)) for _ in range(200)]:
            assert client.rest() == b""


# --- Bodies ---

EVERYWHERE = ["/healthz", "/", "/admin/login/", "/static/none", "/nowhere", "/api/v1/chats/", "/metrics", "/readyz"]
ENDLESS = {
    "declared": (b"Content-Length: 209715200\r\n\r\n", b"a" * 65536),
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"a" * 65536 + b"\r\n"),
    "in chunks of one byte": (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 10000),
}


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("path", EVERYWHERE)
def test_a_body_without_end_is_refused_and_not_read(server: Server, acme: Actor, path: str, kind: str) -> None:
    headers, blob = ENDLESS[kind]
    with refused(server, "body"), Raw(server) as client:
        client.send(
            f"POST {path} HTTP/1.1\r\nX-API-Key: {acme.tenant_key}\r\nContent-Type: application/json\r\n".encode()
            + HOST
            + headers
        )
        sending = threading.Thread(target=lambda: sent.append(client.flood(blob, 200 * MIB)))
        sent: list[int] = []
        sending.start()
        assert_refused(client.answer(), 413, "PAYLOAD_TOO_LARGE")
        client.rest()
        sending.join(SOON)
        assert sent[0] < IN_VAIN


@pytest.mark.parametrize("kind", ENDLESS)
def test_on_the_customer_face_it_is_400(server: Server, acme: Actor, kind: str) -> None:
    headers, blob = ENDLESS[kind]
    with refused(server, "body"), Raw(server) as client:
        client.send(
            b"POST /api/v1/customer/conversations HTTP/1.1\r\nContent-Type: application/json\r\n"
            + f"Authorization: Bearer {acme.customer_key}\r\n".encode()
            + HOST
            + headers
        )
        threading.Thread(target=client.flood, args=(blob, 200 * MIB)).start()
        assert_refused(client.answer(), 400, "PAYLOAD_TOO_LARGE", face="customer")
        client.rest()


def test_a_client_that_asks_whether_to_send_a_long_body_is_told_not_to(server: Server) -> None:
    with refused(server, "body"), Raw(server) as client:
        client.send(b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 2097152\r\nExpect: 100-continue\r\n\r\n")
        answer = client.answer()
        assert_refused(answer, 413, "PAYLOAD_TOO_LARGE")
        assert answer.headers["Connection"] == "close"
        assert client.rest() == b""


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PUT"])
def test_whatever_the_method_a_long_body_is_refused(server: Server, method: str) -> None:
    with refused(server, "body"), Raw(server) as client:
        client.send(f"{method} /healthz HTTP/1.1\r\nContent-Length: {2 * MIB}\r\n".encode() + HOST + b"\r\n")
        assert b"413" in client.rest().partition(b"\r\n")[0]


def test_the_import_form_takes_ten_times_as_much(server: Server) -> None:
    url = server.http + "/admin/agents/article/import/"
    # Nobody is logged in: the form is not reached, its body is read.
    assert httpx.post(url, content=b"a" * 10 * MIB, timeout=SOON, verify=False).status_code in (302, 403)
    with refused(server, "body"):
        answer = httpx.post(url, content=b"a" * 11 * MIB, timeout=SOON, verify=False)
        assert_refused(answer, 413, "PAYLOAD_TOO_LARGE")
        assert "10 MiB" in answer.json()["error_message"]


# --- What is no HTTP ---


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["zeros", "TLS", "HTTP/2", "a version", "a path", "a name", "a fold", "-1", "two lengths", "both", "a chunk"],
)
def test_what_is_no_http_is_400_in_the_one_shape(server: Server, sent: bytes) -> None:
    with refused(server, "malformed"), Raw(server) as client:
        client.send(sent)
        answer = client.answer()
        assert answer.status_code == 400
        assert_refused(answer, 400, "INVALID_REQUEST")
        assert client.rest() == b""


def test_a_body_longer_than_its_length_is_no_request(server: Server) -> None:
    with refused(server, "malformed"), Raw(server) as client:
        client.send(b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nabcdef\r\n\r\n")
        assert b" 200 " not in client.rest()


@pytest.mark.parametrize(
    "wrong",
    [
        b"GET http://[:::1/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n: x\r\n\r\n",
    ],
    ids=["a target", "a version", "a header"],
)
def test_what_is_no_http_behind_a_request_is_not_told_as_its_answer(server: Server, wrong: bytes) -> None:
    with refused(server, "malformed"), Raw(server) as client:
        client.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + wrong)
        assert b" 400 " not in client.rest()


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"


def test_an_upgrade_to_what_is_not_spoken_is_answered_as_without_it(server: Server) -> None:
    with Raw(server) as client:
        client.send((b"GET /healthz HTTP/1.1\r\n" + HOST + H2C + b"\r\n") * 200)
        for _ in range(200):
            assert client.answer_of_many().status_code == 200
    assert_serves(server)


@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_beside_an_upgrade_to_what_is_not_spoken_is_read(server: Server, acme: Actor, chunked: bool) -> None:
    body = b'{"user_id": "alice", "title": "asked with h2c"}'
    length = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    head = b"POST /api/v1/chats/ HTTP/1.1\r\n" + HOST + H2C + b"X-API-Key: " + acme.tenant_key.encode() + b"\r\n"
    with Raw(server) as client:
        client.send(head + b"Content-Type: application/json\r\n" + length + b"\r\n" + sent)
        answer = client.answer()
        assert (answer.status_code, answer.json()["title"]) == (201, "asked with h2c")


@pytest.mark.parametrize("more", [b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", H2C], ids=["", "ws", "h2c"])
def test_a_tunnel_is_refused(server: Server, more: bytes) -> None:
    with refused(server, "malformed"), Raw(server) as client:
        client.send(b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + more + b"\r\nwhatever")
        assert client.answer().status_code == 405
        assert client.rest() == b""


def test_requests_that_are_sent_ahead_are_all_answered(server: Server) -> None:
    with Raw(server) as client:
        threading.Thread(target=client.send, args=((b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n") * 2000,)).start()
        for _ in range(2000):
            assert client.answer_of_many().status_code == 200
    assert_serves(server)


def test_a_client_that_goes_before_requests_it_sent_ahead_are_answered_is_no_fault(server: Server) -> None:
    before = len(errors(server))
    for _ in range(5):
        with Raw(server) as client:
            client.send((b"GET /static/lexicon/lexicon-client.js HTTP/1.1\r\n" + HOST + b"\r\n") * 50)
            client.read_until(b"\r\n\r\n")
            # What waits unread turns the close into a reset.
    assert_serves(server)
    assert errors(server)[before:] == []


# --- Handshakes ---


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/ws/chat?x=" + "a" * 60_000, ()),
        ("/ws/chat", ("X-Long: " + "a" * 60_000,)),
        ("/ws/chat", tuple(f"X-{number}: a" for number in range(4000))),
    ],
    ids=["a long line", "a long header", "many headers"],
)
def test_a_handshake_of_up_to_64_kib_is_answered(server: Server, target: str, headers: tuple[str, ...]) -> None:
    with Raw(server) as client:
        client.handshake(target, headers=headers)
        opcode, event = client.frame()
        assert (opcode, b"AUTH_ERROR" in event) == (TEXT, True)
        assert client.close_code() == 4401


@pytest.mark.parametrize("head", [handshake("/ws/chat?x=" + "a" * MAX_HEAD), handshake("/ws/chat", "X: " + "a" * MIB)])
def test_a_handshake_over_64_kib_is_431(server: Server, head: bytes) -> None:
    with refused(server, "head"), Raw(server) as client:
        client.flood(head, 1)
        assert_refused(client.answer(), 431, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (handshake("/ws/chat", method="POST"), 405),
        (handshake("/ws/chat", version="1.0"), 505),
        (handshake("/ws/chat", "Sec-WebSocket-Version: 8"), 400),
        (handshake("/ws/chat", "Content-Length: 5"), 400),
        (handshake("/ws/chat", "Transfer-Encoding: chunked"), 400),
        (handshake("/ws/chat").replace(b"Sec-WebSocket-Key", b"X"), 400),
        (handshake("/ws/chät"), 400),
    ],
    ids=["POST", "HTTP/1.0", "a version twice", "a length", "chunks", "no key", "a path that is not ASCII"],
)
def test_a_bad_handshake_is_refused_in_the_one_shape(server: Server, head: bytes, status: int) -> None:
    with Raw(server) as client:
        client.send(head)
        answer = client.answer()
        assert answer.status_code == status
        assert list(answer.json()) == ["error_code", "error_message", "details"]
        assert client.rest() == b""
    assert_serves(server)
    assert errors(server) == []


# --- Open files ---


class Few(Server):
    """A server that may have few open files."""

    forked = False
    #: The soft limit and the hard one.
    limits = (200, 200)

    @property
    def command(self) -> list[str]:
        program = (
            f"import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, {self.limits}); "
            "runpy.run_module('lexicon.serve', run_name='__main__', alter_sys=True)"
        )
        return ["-c", program]


@pytest.fixture
def few(own_database: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(soft: int, hard: int) -> Server:
        server = Few(database_url=own_database, log=tmp_path / "few.log")
        server.limits = (soft, hard)  # type: ignore[misc]
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("websockets", [False, True], ids=["TCP", "WebSockets"])
def test_idle_connections_leave_room_for_requests(few: Callable[..., Server], websockets: bool) -> None:
    server = few(200, 200)
    with contextlib.ExitStack() as stack:
        for _ in range(250):
            client = stack.enter_context(Raw(server))
            if websockets:
                # Nobody is asked to read: those that are refused for their key stay for as long as they may.
                client.send(handshake("/ws/chat"))
        for _ in range(20):
            assert_serves(server)
        wait_for(lambda: refusals(server)["connections"] > 0, "nobody was refused")
    assert any(line.get("reason") == "connections" for line in log(server))
    assert errors(server) == []


@pytest.mark.parametrize(
    "ahead", [b"", b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"], ids=["alone", "after a request"]
)
def test_bodies_that_trickle_leave_room_for_requests(few: Callable[..., Server], ahead: bytes) -> None:
    server = few(200, 200)
    with contextlib.ExitStack() as stack:
        for _ in range(250):
            client = stack.enter_context(Raw(server))
            client.send(ahead + b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\na")
        for _ in range(20):
            assert_serves(server)


def test_a_server_asks_for_as_many_open_files_as_it_may_have(few: Callable[..., Server]) -> None:
    server = few(300, 4000)
    assert server.process is not None
    [line] = [
        line
        for line in Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
        if line.startswith("Max open files")
    ]
    assert line.split()[3:5] == ["4000", "4000"]


@pytest.mark.parametrize(("limit", "warned"), [(4095, True), (4096, False)])
def test_a_low_limit_is_named_by_the_check(limit: int, warned: bool) -> None:
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit})); "
        "from lexicon.checks import open_files; print([found.id for found in open_files()])"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == ("['lexicon.W023']" if warned else "[]")
