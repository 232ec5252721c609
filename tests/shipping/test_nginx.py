"""deploy/nginx under Debian's nginx: what clients see through it is what they would see without it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket as sockets
import socketserver
import ssl
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
import websockets

from lexicon import VERSION
from tests import settings as test_settings
from tests.rest.wire import JSON, Answer, assert_refused, exchange, held, posted, said_by
from tests.shipping.conftest import Cluster
from tests.shipping.nginx import FILES, SILENCE, Nginx, running
from tests.support.actors import Actor
from tests.support.client import SOON, Socket, read_sse, script
from tests.support.servers import ROOT, free_port

#: No database decides it.
pytestmark = pytest.mark.once

MIB = 1024 * 1024
#: A key whose form is right and that nobody has.
WRONG_KEY = "lxt_000000000000000000000000000000" + "000000"


def get(url: str, *, address: str = "127.0.0.1", **options: object) -> httpx.Response:
    """A request from this address of the machine."""
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address, verify=False), timeout=30) as client:
        return client.get(url, **options)  # type: ignore[arg-type]


# --- Streams ---


async def test_a_websocket_is_upgraded_and_a_reply_streams(cluster: Cluster) -> None:
    async with await cluster.acme.join(cluster.acme.new_chat()) as socket:
        ended = await socket.say(script(say="one two three"))
    assert ended["content"] == "one two three"


async def test_the_first_delta_arrives_before_the_model_says_the_third_word(
    cluster: Cluster, model_server: str
) -> None:
    conversation_id = cluster.acme.new_conversation()
    message = script(say="one two three four", hold=conversation_id, hold_after=2)
    headers = {"Authorization": f"Bearer {cluster.acme.customer_key}", "Accept-Encoding": "gzip, deflate, br"}
    path = f"{cluster.acme.base}/api/v1/customer/conversations/{conversation_id}/messages"
    body = b""
    async with (
        httpx.AsyncClient(timeout=SOON, verify=False) as client,
        client.stream("POST", path, json={"message": message}, headers=headers) as answer,
    ):
        assert "Content-Encoding" not in answer.headers
        async for read in answer.aiter_raw():
            body += read
            if b"one" in body and b"three" not in body:
                # Only now may the model go on.
                await client.post(f"{model_server.removesuffix('/v1')}/release/{conversation_id}")
    assert said_by([data for _, data in read_sse(body)]) == "one two three four"


async def test_a_reply_that_is_silent_for_longer_than_nginx_waits_goes_on(cluster: Cluster, model_server: str) -> None:
    conversation_id = cluster.acme.new_conversation()
    begun = asyncio.get_running_loop().time()
    async with posted(cluster.acme, conversation_id, held("one two", conversation_id)) as stream:
        await stream.until_said("one")
        while asyncio.get_running_loop().time() < begun + SILENCE + 2:
            assert await stream.write() == b": ping\n\n"
        async with httpx.AsyncClient(verify=False) as client:
            await client.post(f"{model_server.removesuffix('/v1')}/release/{conversation_id}")
        assert said_by(await stream.finish()) == "one two"


async def test_a_websocket_that_is_idle_for_longer_than_nginx_waits_stays_open(cluster: Cluster) -> None:
    query = {"api_key": cluster.acme.tenant_key, "user_id": "alice", "chat_id": cluster.acme.new_chat()}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{cluster.nginx.ws}/ws/chat", params=query, autoping=False) as socket,
    ):
        assert json.loads(await socket.receive_str())["event_type"] == "connection_established"
        begun = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < begun + SILENCE + 2:
            message = await socket.receive(timeout=SOON)
            assert message.type is aiohttp.WSMsgType.PING
            await socket.pong(message.data)
        await socket.send_json({"action": "ping"})
        while (message := await socket.receive(timeout=SOON)).type is aiohttp.WSMsgType.PING:
            await socket.pong(message.data)
        assert json.loads(message.data)["event_type"] == "pong"


def test_nginx_waits_three_times_as_long_as_the_service_is_silent() -> None:
    files = (ROOT / "deploy/nginx/locations.conf").read_text()
    waits = re.findall(r"^proxy_(?:read|send)_timeout (\d+)s;", files, re.MULTILINE)
    [socket_pings] = re.findall(r"ws_ping_interval=(\d+)", (ROOT / "lexicon/serve.py").read_text())
    [stream_pings] = re.findall(r"^PING_SECONDS=(\d+)", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert len(waits) == 2
    assert min(map(int, waits)) >= 3 * max(int(socket_pings), int(stream_pings))


# --- What the application is told of a request ---


def test_the_callers_request_id_comes_back_and_is_in_both_logs(cluster: Cluster) -> None:
    mine = f"mine-{uuid.uuid4()}"
    answer = cluster.acme.rest("GET", "/", headers={"X-Request-ID": mine})
    assert answer.headers.get_list("X-Request-ID") == [mine]
    [line] = cluster.nginx.lines(mine)
    assert json.loads(line)["request_id"] == mine
    assert cluster.logged(mine)[-1]["request_id"] == mine


def test_a_request_without_an_id_gets_one_that_is_in_both_logs(cluster: Cluster) -> None:
    given = cluster.acme.rest("GET", "/").headers["X-Request-ID"]
    assert len(cluster.nginx.lines(given)) == 1
    assert cluster.logged(given) != []


def test_an_id_that_could_forge_a_line_is_replaced(cluster: Cluster) -> None:
    answer = cluster.acme.rest("GET", "/", headers={"X-Request-ID": 'x","status":"200'})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("spoofed", [{}, {"X-Forwarded-For": "203.0.113.7"}, {"Forwarded": "for=203.0.113.7"}])
def test_the_application_sees_the_clients_own_address_and_no_other(cluster: Cluster, spoofed: dict[str, str]) -> None:
    mine = uuid.uuid4().hex
    headers = {"X-API-Key": WRONG_KEY, "X-Request-ID": mine, **spoofed}
    assert get(f"{cluster.nginx.http}/api/v1/chats/", address="127.0.0.9", headers=headers).status_code == 401
    [line] = [line for line in cluster.logged(mine) if "address" in line]
    assert line["address"] == "127.0.0.9"


async def test_a_sockets_address_is_the_clients_own_and_no_other(cluster: Cluster) -> None:
    path = f"/ws/chat?api_key={WRONG_KEY}&user_id=alice&chat_id=none"
    connection = await websockets.connect(
        cluster.nginx.ws + path,
        additional_headers={"X-Forwarded-For": "203.0.113.7"},
        local_addr=("127.0.0.10", 0),
        proxy=None,
    )
    async with asyncio.timeout(SOON):
        await connection.wait_closed()
    assert connection.close_code == 4401
    addresses = {line["address"] for line in cluster.logged("socket refused")}
    assert "127.0.0.10" in addresses
    assert "203.0.113.7" not in addresses


@pytest.mark.parametrize("user_id", ["a%2Fb", "a%20b", "a//b", "..%2f..", "%D1%8E", "a%3Fb%23c", "50%25"])
def test_a_path_is_passed_on_as_it_was_written(cluster: Cluster, user_id: str) -> None:
    headers = {"X-API-Key": cluster.acme.tenant_key}
    through = exchange(cluster.nginx.http, "GET", f"/api/v1/chats/user/{user_id}", headers=headers)
    straight = exchange(cluster.replicas[0].http, "GET", f"/api/v1/chats/user/{user_id}", headers=headers)
    assert (through.status_code, through.content) == (straight.status_code, straight.content)
    assert through.status_code == 404


# --- What is not passed on ---


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/x/../metrics", "/readyz"])
def test_what_only_the_operator_asks_is_not_public(cluster: Cluster, path: str) -> None:
    assert exchange(cluster.nginx.http, "GET", path).status_code == 404
    assert get(cluster.replicas[0].http + "/readyz").status_code == 200


def test_whether_it_is_alive_is_public(cluster: Cluster) -> None:
    assert get(cluster.nginx.http + "/healthz").json() == {"status": "alive", "version": VERSION}


@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB], ids=["the service refuses", "nginx refuses"])
def test_a_body_over_1_mib_is_refused_in_the_shape_of_its_face(cluster: Cluster, size: int) -> None:
    body = {"content": b" " * size, "headers": JSON}
    assert_refused(cluster.acme.rest("POST", "/", **body), 413, "PAYLOAD_TOO_LARGE")
    refused = cluster.acme.customer("POST", f"/{cluster.acme.new_conversation()}/messages", **body)
    assert_refused(refused, 400, "PAYLOAD_TOO_LARGE", face="customer")


def test_an_imports_file_is_passed_on_up_to_10_mib(cluster: Cluster) -> None:
    path = "/admin/agents/article/import/"
    # Nobody is logged in: that Django says so, whatever it says, shows that it was asked.
    passed = httpx.post(cluster.nginx.http + path, files={"file": b" " * 3 * MIB}, timeout=60)
    assert passed.status_code in (302, 403)
    refused = httpx.post(cluster.nginx.http + path, files={"file": b" " * 12 * MIB}, timeout=60)
    assert_refused(refused, 413, "PAYLOAD_TOO_LARGE")
    assert "10485760" in refused.text


@pytest.mark.parametrize(
    ("line", "headers"),
    [("/", 60_000), ("/", 70_000), ("/", 200_000), ("/?" + "a" * 70_000, 10), ("/?" + "a" * 200_000, 10)],
    ids=["almost", "a header", "a long header", "a line", "a long line"],
)
@pytest.mark.parametrize("face", ["lexicon", "customer"])
def test_a_head_over_64_kib_is_refused_in_the_shape_of_its_face(
    cluster: Cluster, face: str, line: str, headers: int
) -> None:
    path = "/api/v1/customer/conversations" if face == "customer" else "/api/v1/chats/"
    address = urlsplit(cluster.acme.base)
    with sockets.create_connection((address.hostname, address.port), timeout=SOON) as connection:
        with contextlib.suppress(ConnectionError):  # It may be refused before it is all sent.
            connection.sendall(
                f"GET {path}{line[1:]} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {'a' * headers}\r\n\r\n".encode()
            )
        response = http.client.HTTPResponse(connection)
        response.begin()
        answer = Answer(response.status, response.headers, response.read())
    if headers == 60_000:
        assert answer.status_code == 401  # It was read, and has no key.
    elif len(line) > 65_536:
        # A line that nginx did not read to its end has no path, and so no face.
        assert_refused(answer, 431, "INVALID_REQUEST")
    else:
        assert_refused(answer, 400 if face == "customer" else 431, "INVALID_REQUEST", face=face)


def test_what_is_no_http_is_refused_in_the_one_shape(cluster: Cluster) -> None:
    address = urlsplit(cluster.acme.base)
    with sockets.create_connection((address.hostname, address.port), timeout=SOON) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert_refused(Answer(response.status, response.headers, response.read()), 400, "INVALID_REQUEST")


def test_too_many_handshakes_of_one_address_are_refused_and_of_another_are_not(cluster: Cluster) -> None:
    port = cluster.replicas[0].port
    with running((port, port), **{"burst=1000": "burst=5", "rate=50r/s": "rate=1r/m"}) as nginx:
        answers = [get(nginx.http + "/ws/chat", address="127.0.0.11") for _ in range(7)]
        assert [answer.status_code for answer in answers].count(429) == 1
        assert_refused(answers[-1], 429, "RATE_LIMIT_EXCEEDED")
        assert answers[-1].headers["Retry-After"] == str(answers[-1].json()["details"]["retry_after"])
        assert get(nginx.http + "/ws/chat", address="127.0.0.12").status_code != 429


async def test_too_many_websockets_of_one_address_are_refused_in_the_one_shape(cluster: Cluster) -> None:
    port = cluster.replicas[0].port
    with running((port, port), **{"lexicon_sockets 2000": "lexicon_sockets 2"}) as nginx:
        acme = through(cluster, nginx)
        chat_id = acme.new_chat()
        sockets = [await acme.join(chat_id) for _ in range(2)]
        refused = await asyncio.to_thread(get, nginx.http + "/ws/chat")
        body = assert_refused(refused, 429, "RATE_LIMIT_EXCEEDED")
        assert "as many WebSockets" in body["error_message"]
        assert refused.headers["Retry-After"]
        for socket in sockets:
            await socket.close()


def test_an_office_of_500_may_come_back_at_once_and_once_more() -> None:
    files = "".join(path.read_text() for path in FILES.glob("l*.conf"))
    [burst] = re.findall(r"burst=(\d+)", files)
    [most] = re.findall(r"limit_conn lexicon_sockets (\d+);", files)
    assert min(int(burst), int(most)) >= 2 * 500


# --- Logs ---


def test_no_log_holds_a_key(cluster: Cluster) -> None:
    """Not even where nobody answers: nginx would write the whole request line of what it could not pass on."""
    with running((free_port(), free_port())) as nobody_answers:
        for nginx in (cluster.nginx, nobody_answers):
            mark = uuid.uuid4().hex
            query = f"api_key={cluster.acme.tenant_key}&user_id=alice&chat_id={uuid.uuid4()}"
            socket_headers = {"Connection": "Upgrade", "Upgrade": "websocket", "X-Request-ID": mark}
            for path in ("/ws/chat", "/api/v1/chats/"):
                get(f"{nginx.http}{path}?{query}", headers=socket_headers)
            assert len(nginx.lines(mark, least=2)) == 2
            written = nginx.access_log.read_text() + nginx.error_log.read_text()
            assert cluster.acme.tenant_key not in written
            assert cluster.acme.customer_key not in written


# --- Replicas that die ---


def through(cluster: Cluster, nginx: Nginx) -> Actor:
    """Acme, who comes through another nginx."""
    return replace(cluster.acme, base=nginx.http)


def test_what_one_address_does_not_take_the_other_one_does(cluster: Cluster) -> None:
    nobody = free_port()
    with running((cluster.replicas[0].port, nobody)) as nginx:
        acme = through(cluster, nginx)
        for _ in range(3):
            assert acme.rest("GET", "/").status_code == 200
            assert acme.new_chat()
        # One of them was offered to the address where nobody is, first.
        assert nginx.lines(f'"upstream":"127.0.0.1:{nobody}, 127.0.0.1:{cluster.replicas[0].port}"')


@pytest.fixture
def hung() -> Iterator[sockets.socket]:
    """A process that is stopped: the kernel accepts what it is sent, and nobody answers."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def was_asked(listener: sockets.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def test_a_websocket_gets_round_a_process_that_hangs(cluster: Cluster, hung: sockets.socket) -> None:
    shorter = {"proxy_read_timeout 3s": "proxy_read_timeout 200ms"}
    with running((hung.getsockname()[1], cluster.replicas[0].port), **shorter) as nginx:
        acme = through(cluster, nginx)
        chat_id = await asyncio.to_thread(cluster.acme.new_chat)
        for _ in range(3):
            async with asyncio.timeout(SOON):
                await acme.join(chat_id)
        assert was_asked(hung)
        await Socket.close_all()


def test_what_reads_a_chat_gets_round_a_process_that_hangs(cluster: Cluster, hung: sockets.socket) -> None:
    shorter = {"proxy_read_timeout 20s": "proxy_read_timeout 200ms"}
    with running((hung.getsockname()[1], cluster.replicas[0].port), **shorter) as nginx:
        acme = through(cluster, nginx)
        assert [acme.rest("GET", "/").status_code for _ in range(3)] == [200] * 3
        assert was_asked(hung)


async def test_where_every_process_hangs_a_handshake_is_told_so_in_the_one_shape(hung: sockets.socket) -> None:
    port = hung.getsockname()[1]
    with running((port, port), **{"proxy_read_timeout 3s": "proxy_read_timeout 100ms", "75s": "100ms"}) as nginx:
        refused = await asyncio.to_thread(get, nginx.http + "/ws/chat")
        assert_refused(refused, 503, "SERVICE_UNAVAILABLE")
        assert refused.headers["Retry-After"] == "2"


def test_a_process_that_failed_is_offered_the_next_handshake_all_the_same(
    dying: tuple[int, list[tuple[str, str]]],
) -> None:
    """What it did last is not held against it: a request that ends, and would clear it, may not come for hours."""
    port, asked = dying
    with running((free_port(), port)) as nginx:
        for _ in range(3):
            get(nginx.http + "/ws/chat")
    assert asked.count(("GET", "/healthz")) == 3


if not test_settings.ON_SQLITE:

    async def test_whoever_talked_to_a_replica_that_is_killed_goes_on_with_the_other(cluster: Cluster) -> None:
        chat_ids = [cluster.acme.new_chat() for _ in range(4)]
        sockets = [await cluster.acme.join(chat_id) for chat_id in chat_ids]
        cluster.replicas[1].kill()
        try:
            # nginx gives them to both in turn.
            closed = [socket for socket in sockets if await is_closed(socket)]
            assert 0 < len(closed) < 4
            for chat_id in chat_ids:
                async with await cluster.acme.join(chat_id) as again:
                    await again.say("hello")
                assert cluster.acme.new_chat()
        finally:
            await asyncio.to_thread(cluster.replicas[1].start)


async def is_closed(socket: Socket) -> bool:
    """Whether the socket does not answer any more."""
    try:
        await socket.quiet()
    except websockets.ConnectionClosed:
        return True
    return False


@pytest.fixture
def dying() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """The port of a server that reads a request and dies of it, and what it was asked."""
    asked: list[tuple[str, str]] = []

    class Dies(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, path, _ = self.rfile.readline().decode().split()
            asked.append((method, path))
            while self.rfile.readline() not in (b"\r\n", b""):
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dies) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1], asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_was_sent_and_changes_something_is_not_sent_again(
    cluster: Cluster, dying: tuple[int, list[tuple[str, str]]], method: str
) -> None:
    port, asked = dying
    with running((port, port)) as nginx:
        answer = exchange(nginx.http, method, "/api/v1/chats/", headers=JSON, body=b"{}")
        assert_refused(answer, 503, "SERVICE_UNAVAILABLE")
    assert asked.count((method, "/api/v1/chats/")) == 1


def test_where_nobody_answers_each_face_is_told_so_in_its_shape(cluster: Cluster) -> None:
    with running((free_port(), free_port())) as nginx:
        acme = through(cluster, nginx)
        refused = acme.rest("GET", "/", headers={"X-Request-ID": "mine"})
        assert_refused(refused, 503, "SERVICE_UNAVAILABLE")
        assert (refused.headers["Retry-After"], refused.headers["X-Request-ID"]) == ("2", "mine")
        assert_refused(acme.customer("POST", ""), 503, "SERVICE_UNAVAILABLE", face="customer")


# --- TLS ---


def untrusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_over_tls_the_application_knows_that_it_is_secure(cluster: Cluster) -> None:
    answer = httpx.get(f"https://127.0.0.1:{cluster.secure.tls_port}/healthz", verify=untrusting())
    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


async def test_over_tls_a_websocket_is_upgraded(cluster: Cluster) -> None:
    chat_id = cluster.acme.new_chat()
    query = f"api_key={cluster.acme.tenant_key}&user_id=alice&chat_id={chat_id}"
    address = f"wss://127.0.0.1:{cluster.secure.tls_port}/ws/chat?{query}"
    async with websockets.connect(address, ssl=untrusting(), proxy=None) as connection, asyncio.timeout(SOON):
        assert json.loads(await connection.recv())["event_type"] == "connection_established"


@pytest.mark.parametrize("path", ["/api/v1/chats/", "/ws/chat"])
def test_where_there_is_tls_a_key_that_comes_without_it_is_refused_and_not_led_on(cluster: Cluster, path: str) -> None:
    answer = get(cluster.secure.http + path, headers={"X-API-Key": cluster.acme.tenant_key})
    assert answer.status_code == 403
    assert "Location" not in answer.headers


@pytest.mark.parametrize("site", ["nginx", "secure"])
def test_what_certbot_puts_down_is_found_without_tls(cluster: Cluster, site: str) -> None:
    nginx: Nginx = getattr(cluster, site)
    proof = nginx.folder / "acme" / ".well-known" / "acme-challenge" / "token"
    proof.parent.mkdir(parents=True, exist_ok=True)
    proof.write_text("it is mine")
    assert get(nginx.http + "/.well-known/acme-challenge/token").text == "it is mine"


def test_where_there_is_tls_a_page_is_led_to_it(cluster: Cluster) -> None:
    answer = get(cluster.secure.http + "/admin/")
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://127.0.0.1/admin/")
