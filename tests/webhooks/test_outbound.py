"""No connection is made to an address that is not on the public internet, however it is written."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from django.conf import LazySettings

from core import outbound
from core.outbound import CheckedResolver, Forbidden, check_url
from tests.readme.test_environment import check
from tests.webhooks.receiver import Receiver, Trap

#: No database decides it.
pytestmark = pytest.mark.once

#: RELIABILITY 5.8, and some more ways to write the same.
HOSTS = [
    "127.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "127.0.0.1%20",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[fd00::1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "100.64.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:db8::1]",
    "[2001::1]",
    "[fec0::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ip6-localhost",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "ⓛocalhost",
    "１２７.0.0.1",
]


async def attempt(url: str, **options: Any) -> str:
    """What becomes of a POST."""
    async with outbound.session(timeout=aiohttp.ClientTimeout(total=10), **options) as session:
        try:
            async with session.post(url, data=b"{}", ssl=False) as answer:
                return f"answered {answer.status}"
        except Forbidden as error:
            return f"forbidden: {error}"
        except (aiohttp.ClientError, ValueError) as error:
            return type(error).__name__


@pytest.fixture
def any_port(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> int:
    """The trap's port counts as one of https: else it would be refused for its port."""
    monkeypatch.setattr(outbound, "PORTS", (443, 8443, trap.port))
    return trap.port


@pytest.mark.parametrize("host", HOSTS)
async def test_nothing_connects_to(host: str, any_port: int, trap: Trap) -> None:
    told = await attempt(f"https://{host}:{any_port}/")
    assert not told.startswith("answered")
    assert trap.accepted == 0


@pytest.mark.parametrize("host", [host for host in HOSTS if host[0] in "12[" and "%" not in host])
def test_an_address_is_refused_by_its_text_alone(host: str) -> None:
    with pytest.raises(Forbidden):
        check_url(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "https://good@127.0.0.1:{port}/",
        "https://good.example@127.0.0.1:{port}/",
        "https://127.0.0.1:{port}#@good.example/",
        "https://127.0.0.1:{port}\\@good.example/",
        "https://good.example:443@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/",
        "ws://127.0.0.1:{port}/",
    ],
)
async def test_no_trick_of_writing_leads_there(url: str, any_port: int, trap: Trap) -> None:
    assert not (await attempt(url.format(port=any_port))).startswith("answered")
    assert trap.accepted == 0


def test_the_trap_notices_who_connects(trap: Trap) -> None:
    socket.create_connection(("127.0.0.1", trap.port)).close()
    socket.create_connection(("::1", trap.port)).close()
    assert trap.accepted == 2


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://shop.example/", "must begin with https://"),
        ("ftp://shop.example/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("unix:///run/docker.sock", "must begin with https://"),
        ("http+unix://%2Frun%2Fdocker.sock/", "must begin with https://"),
        ("gopher://shop.example/", "must begin with https://"),
        ("shop.example/hook", "must begin with https://"),
        ("", "must begin with https://"),
        ("https:///hook", "names no host"),
        ("https://", "names no host"),
        ("https://user@shop.example/", "must not hold a user or a password"),
        ("https://user:password@shop.example/", "must not hold a user or a password"),
        ("https://:password@shop.example/", "must not hold a user or a password"),
        ("https://shop.example:22/", "must use port 443 or 8443"),
        ("https://shop.example:80/", "must use port 443 or 8443"),
        ("https://shop.example:99999/", "is not an address"),
        ("https://[::1/", "is not an address"),
        ("https://127.1/", "is not written as four numbers"),
        ("https://10.0.0.1/", "is not on the public internet"),
    ],
)
def test_a_refusal_says_why(url: str, why: str) -> None:
    with pytest.raises(Forbidden, match=f"^{why}$"):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hook?x=1",
        "https://shop.example:8443/",
        "https://1.1.1.1/",
        "https://[2606:4700:4700::1111]/",
        "https://bücher.example/",
        "https://3com.example/",
        "https://0xdeadbeef.example/",
    ],
)
def test_an_address_of_the_internet_passes(url: str) -> None:
    assert check_url(url).scheme == "https"


# --- Names ---


class Names(AbstractResolver):
    """Names that lead where the test says, one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
        addresses = self.answers.pop(0)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        return


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["1.1.1.1", "127.0.0.1"],
        ["127.0.0.1", "1.1.1.1"],
        ["2606:4700:4700::1111", "::1"],
        ["1.1.1.1", "::ffff:127.0.0.1"],
        ["1.1.1.1", "64:ff9b::7f00:1"],
    ],
)
async def test_a_name_with_one_private_address_is_refused(addresses: list[str], any_port: int, trap: Trap) -> None:
    told = await attempt(f"https://shop.example:{any_port}/", resolver=Names(addresses))
    assert told == "forbidden: leads to an address that is not on the public internet"
    assert trap.accepted == 0


async def test_a_name_that_turns_private_after_it_was_checked_is_refused(any_port: int, trap: Trap) -> None:
    names = Names(["1.1.1.1"], ["127.0.0.1"])
    assert await CheckedResolver(names).resolve("shop.example")
    assert (await attempt(f"https://shop.example:{any_port}/", resolver=names)).startswith("forbidden")
    assert trap.accepted == 0


async def test_each_connection_asks_anew(
    receiver: Receiver, any_port: int, trap: Trap, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cache of names outlives the check, and none is needed."""
    settings.OUTBOUND_ALLOW = ["127.0.0.1", "shop.example"]
    port = receiver.url.split(":")[2].split("/")[0]
    names = Names(["127.0.0.1"], ["127.0.0.1"])
    async with outbound.session(resolver=names) as session:
        headers = {"Connection": "close"}
        async with session.post(f"http://shop.example:{port}/", data=b"{}", headers=headers) as answer:
            assert answer.status == 204
        settings.OUTBOUND_ALLOW = []
        with pytest.raises(Forbidden):
            await session.post(f"https://shop.example:{any_port}/", data=b"{}")
    assert names.answers == []
    assert trap.accepted == 0


async def test_a_redirect_that_is_followed_is_checked_too(
    receiver: Receiver, trap: Trap, settings: LazySettings
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    receiver.default = f"redirect:https://[::1]:{trap.port}/latest/meta-data/"
    assert (await attempt(receiver.url)).startswith("forbidden")
    assert len(receiver.arrived) == 1
    assert trap.accepted == 0


# --- What an installation allows ---


async def test_what_is_listed_is_reached_over_http_and_on_any_port(receiver: Receiver, settings: LazySettings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.0/8"]
    assert await attempt(receiver.url) == "answered 204"


async def test_a_host_is_listed_by_its_name(receiver: Receiver, settings: LazySettings) -> None:
    settings.OUTBOUND_ALLOW = ["localhost"]
    assert await attempt(receiver.url.replace("127.0.0.1", "localhost")) == "answered 204"
    assert (await attempt(receiver.url)).startswith("forbidden")


async def test_the_host_keeps_its_name_where_its_address_was_checked(
    receiver: Receiver, settings: LazySettings
) -> None:
    settings.OUTBOUND_ALLOW = ["shop.example"]
    port = receiver.url.split(":")[2].split("/")[0]
    assert await attempt(f"http://shop.example:{port}/", resolver=Names(["127.0.0.1"])) == "answered 204"
    assert receiver.arrived[0].headers["host"] == f"shop.example:{port}"


@pytest.mark.parametrize("listed", ["10.0.0.1/8", "10.0.0.0/33", "receiver.internal:9000"])
def test_a_list_that_is_none_is_refused_at_the_start(listed: str) -> None:
    done = check(SECRET_KEY="x" * 50, OUTBOUND_ALLOW=f"127.0.0.1,{listed}")
    assert done.returncode != 0
    assert "OUTBOUND_ALLOW must list networks like 10.0.0.0/8 and names of hosts, without a port" in done.stderr


def test_what_is_not_listed_stays_refused(settings: LazySettings) -> None:
    settings.OUTBOUND_ALLOW = ["10.0.0.0/8"]
    check_url("http://10.1.2.3:9000/")
    with pytest.raises(Forbidden):
        check_url("https://192.168.0.1/")
    with pytest.raises(Forbidden):
        check_url("http://shop.example/")


async def test_the_tls_name_is_the_hosts(any_port: int, settings: LazySettings) -> None:
    """Seen in the ClientHello, which names the host in clear."""
    settings.OUTBOUND_ALLOW = ["shop.example"]
    hello = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set_result(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await attempt(f"https://shop.example:{port}/", resolver=Names(["127.0.0.1"]))
    assert b"shop.example" in await hello
    server.close()
