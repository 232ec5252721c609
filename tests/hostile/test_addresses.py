"""Whose address a scope's is, who is asked for together, and how much of it all is kept."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from typing import Any

import pytest

from core import addresses
from core.addresses import PEER, bounded_network, network_id
from core.errors import ApiError
from tenants import known, limits, strangers
from tenants.known import ABSENT_SECONDS, MOST_WAITING, Known
from tenants.limits import RequestWindows

#: No database decides it.
pytestmark = pytest.mark.once

FORWARDED = [(b"x-forwarded-for", b"203.0.113.7")]


@pytest.fixture(autouse=True)
def _nothing_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_logged_at", float("-inf"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def scope(client: str | None, headers: list[tuple[bytes, bytes]] = [], *, peer: str | None = None) -> dict[str, Any]:  # noqa: B006
    given = (client, 1) if client else None
    return {"client": given, PEER: (peer, 2) if peer else given, "headers": headers}


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fd00::1", "fe80::1"])
def test_a_private_peer_that_speaks_for_others_and_is_not_believed_has_no_bounds(
    peer: str, caplog: pytest.LogCaptureFixture
) -> None:
    for headers in (FORWARDED, [(b"X-Real-IP", b"203.0.113.7")], [(b"forwarded", b"for=x")], [(b"via", b"1.1 proxy")]):
        assert bounded_network(scope(peer, headers)) is None
    [line] = caplog.records
    assert (line.levelname, "TRUSTED_PROXIES" in line.getMessage()) == ("ERROR", True)
    assert bounded_network(scope(peer)) is not None


@pytest.mark.parametrize("peer", ["8.8.8.8", "2600::1", "::ffff:8.8.8.8"])
def test_a_public_peer_is_counted_whatever_it_says_of_others(peer: str, caplog: pytest.LogCaptureFixture) -> None:
    assert bounded_network(scope(peer, FORWARDED)) == bounded_network(scope(peer)) is not None
    assert caplog.records == []


def test_the_client_that_a_trusted_proxy_names_is_counted_even_where_it_is_private() -> None:
    assert bounded_network(scope("10.0.0.9", FORWARDED, peer="127.0.0.1")) == "10.0.0.9"
    assert bounded_network(scope("2600:1:2:3::4", FORWARDED, peer="127.0.0.1")) == "2600:1:2:3::/64"


def test_nobody_is_counted_where_there_is_no_address() -> None:
    assert bounded_network(scope(None)) is None
    assert bounded_network({}) is None


def test_the_line_comes_once_an_hour(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    monkeypatch.setattr(addresses.time, "monotonic", clock)
    for now in (0, 3599, 3600, 7000):
        clock.now = 100.0 + now
        bounded_network(scope("127.0.0.1", FORWARDED))
    assert len(caplog.records) == 2


def test_a_network_is_kept_under_a_name_that_does_not_tell_it(settings: Any) -> None:
    one = network_id("203.0.113.7")
    assert one == network_id("203.0.113.7") != network_id("203.0.113.8")
    settings.SECRET_KEY = "another" * 8
    assert network_id("203.0.113.7") != one


# --- What is kept is bounded ---


def test_so_many_windows_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_WINDOWS", 10)
    clock = Clock()
    windows = RequestWindows(clock)
    callers = [uuid.uuid4() for _ in range(30)]
    for caller in callers:
        clock.now += 0.1
        windows.count(caller, 1)
    assert [windows.count(caller, 1).allowed for caller in callers[-9:]] == [False] * 9
    assert len(windows._windows) <= 10


def test_so_many_addresses_that_are_refused_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "MOST_KEPT", 5)
    monkeypatch.setattr(strangers, "_over", type(strangers._over)())
    for number in range(20):
        strangers._remember(f"192.0.2.{number}", 60)
    assert list(strangers._over) == [f"192.0.2.{number}" for number in range(15, 20)]


# --- Who is there ---


class Asked:
    """Answers as a database would, and remembers what it was asked."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.asked: list[set[str]] = []

    def __call__(self, names: Collection[str]) -> set[str]:
        self.asked.append(set(names))
        return self.there & set(names)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_all_who_wait_are_asked_for_at_once(clock: Clock) -> None:
    find = Asked("here")
    those = Known(find, seconds=60, clock=clock)
    answers = await asyncio.gather(*(those.ask(name) for name in ("here", "gone", "here", "gone")))
    assert answers == [True, False, True, False]
    assert find.asked == [{"here", "gone"}]


async def test_who_was_found_is_not_asked_for_again_for_a_while(clock: Clock) -> None:
    find = Asked("here")
    those = Known(find, seconds=60, clock=clock)
    assert await those.ask("here")
    clock.now += 59
    assert await those.ask("here")
    clock.now += 1
    assert await those.ask("here")
    those.forget("here")
    find.there.clear()
    clock.now += 1
    assert not await those.ask("here")
    assert len(find.asked) == 3


async def test_who_was_not_found_is_asked_for_again(clock: Clock) -> None:
    find = Asked()
    those = Known(find, seconds=60, clock=clock)
    assert not await those.ask("late")
    assert those.is_absent("late")
    find.there.add("late")
    clock.now += ABSENT_SECONDS
    assert not those.is_absent("late")
    assert await those.ask("late")


async def test_beyond_what_may_wait_it_is_busy(clock: Clock) -> None:
    those = Known(Asked(), seconds=60, clock=clock)
    asked = [asyncio.create_task(those.ask(str(number))) for number in range(MOST_WAITING + 1)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[:-1] == [False] * MOST_WAITING
    assert isinstance(answers[-1], ApiError)


async def test_who_gives_up_takes_nobody_along_and_a_failure_reaches_all(clock: Clock) -> None:
    find = Asked("here")
    those = Known(find, seconds=60, clock=clock)
    leaves, stays = (asyncio.create_task(those.ask("here")) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    assert await stays

    def fail(names: Collection[str]) -> set[str]:
        raise RuntimeError("the database says no")

    broken = Known(fail, seconds=60, clock=clock)
    answers = await asyncio.gather(*(broken.ask("x") for _ in range(2)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError] * 2


async def test_what_is_kept_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(known, "MOST_KEPT", 3)
    those = Known(Asked(), seconds=60, clock=clock)
    await asyncio.gather(*(those.ask(str(number)) for number in range(10)))
    assert len(those._absent) == 3
