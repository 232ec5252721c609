"""The pure parts behind a WebSocket: what a frame and a handshake say, how often a client may speak, who may act."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings

from chats.connections import Parameters
from chats.posting import Draft
from core.errors import AUTH_ERROR, ApiError
from streaming.heartbeat import Lease
from streaming.socket.frames import FrameError, Ping, Stop, find_client_message_id, read_frame
from streaming.socket.handshake import read_parameters
from tenants.limits import WINDOW_SECONDS, FrameRate, RequestWindows


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# --- Frames ---


def test_a_frame_with_content_is_a_draft() -> None:
    frame = {"content": " hi ", "metadata": {"a": 1}, "client_message_id": "m1", "unknown": True}
    assert read_frame(json.dumps(frame)) == Draft(" hi ", {"a": 1}, "m1")


@pytest.mark.parametrize("name", ["action", "type", "event_type"])
def test_a_ping_has_three_forms(name: str) -> None:
    assert read_frame(json.dumps({name: "ping"})) == Ping()


@pytest.mark.parametrize("name", ["type", "event_type"])
def test_content_makes_a_message_whatever_its_type_says(name: str) -> None:
    assert read_frame(json.dumps({name: "ping", "content": "hi"})) == Draft("hi", {})


def test_a_stop_names_a_reply_or_none() -> None:
    reply_id = uuid.uuid4()
    assert read_frame('{"action": "stop"}') == Stop(None)
    assert read_frame(json.dumps({"action": "stop", "message_id": str(reply_id)})) == Stop(reply_id)


def test_a_stop_of_what_is_no_id_stops_nothing() -> None:
    assert read_frame('{"action": "stop", "message_id": "the last one"}') == Stop(None, nothing=True)


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        ({"content": "hi", "action": "ping"}, "action"),
        ({"action": "dance"}, "action"),
        ({"action": "stop", "message_id": 5}, "message_id"),
        ({}, "content"),
        ({"content": "hi", "client_message_id": ""}, "client_message_id"),
        ({"content": "hi", "client_message_id": "x" * 256}, "client_message_id"),
        ({"content": "hi", "client_message_id": 7}, "client_message_id"),
        ({"content": "hi", "metadata": []}, "metadata"),
        ({"content": "   "}, "content"),
    ],
)
def test_a_refused_frame_names_its_bad_field(frame: dict[str, Any], field: str) -> None:
    with pytest.raises(FrameError) as caught:
        read_frame(json.dumps(frame))
    assert list(caught.value.problem.details["fields"]) == [field]


def test_a_refused_frame_keeps_the_client_message_id_it_gave() -> None:
    with pytest.raises(FrameError) as caught:
        read_frame('{"content": "", "client_message_id": "m1"}')
    assert caught.value.client_message_id == "m1"


def test_of_a_frame_that_is_not_carried_out_the_client_message_id_is_found() -> None:
    assert find_client_message_id('{"content": "hi", "client_message_id": "m1"}') == "m1"
    assert find_client_message_id('{"content": 5, "client_message_id": "m1"}') == "m1"
    assert find_client_message_id('{"content": "hi"}') is None
    assert find_client_message_id("no JSON") is None
    assert find_client_message_id(None) is None


# --- Handshake ---


def scope(query: bytes = b"", *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"query_string": query, "headers": list(headers)}


def test_parameters_come_from_the_query() -> None:
    given = read_parameters(scope(b"api_key=k&user_id=a%20b%2F%C3%BC&chat_id=c"))
    assert given == Parameters("k", "a b/ü", "c")


def test_a_header_wins_over_the_query() -> None:
    headers = ((b"x-api-key", b"hk"), (b"x-user-id", "hü".encode()), (b"x-chat-id", b"hc"))
    assert read_parameters(scope(b"api_key=k&user_id=u&chat_id=c", *headers)) == Parameters("hk", "hü", "hc")


def test_what_is_missing_is_empty() -> None:
    assert read_parameters(scope()) == Parameters("", "", "")


def test_the_same_header_twice_with_one_value_is_no_quarrel() -> None:
    assert read_parameters(scope(b"", (b"x-api-key", b"k"), (b"x-api-key", b"k"))).raw_key == "k"


@pytest.mark.parametrize("header", [b"x-api-key", b"x-user-id", b"x-chat-id"])
def test_the_same_header_twice_with_different_values_is_refused(header: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read_parameters(scope(b"", (header, b"one"), (header, b"two")))
    assert caught.value.kind is AUTH_ERROR


@pytest.mark.parametrize("query", [b"user_id=%FF", b"user_id=\xff"])
def test_bytes_that_are_no_text_stay_recognisable_as_such(query: bytes) -> None:
    assert read_parameters(scope(query)).user_id == "\udcff"


# --- Frames a second ---


def test_as_many_frames_pass_as_may(clock: Clock) -> None:
    rate = FrameRate(10, clock)
    assert [rate.admit() for _ in range(12)] == [True] * 10 + [False] * 2


def test_in_no_second_more_frames_pass_than_may(clock: Clock) -> None:
    rate = FrameRate(10, clock)
    passed = []
    for _ in range(1000):
        clock.now += 0.013
        if rate.admit():
            passed.append(clock.now)
    assert all(later - earlier >= 1.0 for earlier, later in zip(passed, passed[10:], strict=False))
    assert len(passed) >= 120  # 13 seconds, hardly less than ten in each


def test_a_refused_frame_does_not_count(clock: Clock) -> None:
    rate = FrameRate(2, clock)
    assert [rate.admit() for _ in range(50)].count(True) == 2
    clock.now += 1.0
    assert rate.admit()


def test_a_limit_of_no_frames_lets_none_pass(clock: Clock) -> None:
    assert not FrameRate(0, clock).admit()


# --- Requests a minute ---


def test_a_window_opens_with_the_first_request_and_says_how_much_is_left(clock: Clock) -> None:
    windows, tenant = RequestWindows(clock), uuid.uuid4()
    first = windows.count(tenant, 3)
    clock.now += 10.5
    second = windows.count(tenant, 3)
    assert (first.allowed, first.limit, first.remaining, first.reset) == (True, 3, 2, 60)
    assert (second.allowed, second.limit, second.remaining, second.reset) == (True, 3, 1, 50)


def test_one_request_too_many_is_told_when_to_come_back(clock: Clock) -> None:
    windows, tenant = RequestWindows(clock), uuid.uuid4()
    verdicts = [windows.count(tenant, 3) for _ in range(5)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False, False]
    clock.now += WINDOW_SECONDS - 1
    assert windows.count(tenant, 3).headers == {
        "X-RateLimit-Limit": "3",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1",
    }
    clock.now += 1
    assert windows.count(tenant, 3).allowed


def test_the_next_window_opens_with_a_request_not_with_the_end_of_the_last(clock: Clock) -> None:
    windows, tenant = RequestWindows(clock), uuid.uuid4()
    windows.count(tenant, 3)
    clock.now += WINDOW_SECONDS + 30
    assert windows.count(tenant, 3).reset == 60


def test_tenants_do_not_share_a_window(clock: Clock) -> None:
    windows = RequestWindows(clock)
    assert windows.count(uuid.uuid4(), 1).allowed
    assert windows.count(uuid.uuid4(), 1).allowed


def test_windows_that_are_over_are_forgotten_and_open_ones_kept(clock: Clock) -> None:
    windows, kept = RequestWindows(clock), uuid.uuid4()
    for _ in range(1500):
        windows.count(uuid.uuid4(), 1)
    clock.now += WINDOW_SECONDS - 1
    windows.count(kept, 1)
    clock.now += 1
    windows.count(uuid.uuid4(), 1)
    assert len(windows._windows) == 2
    assert not windows.count(kept, 1).allowed


@pytest.fixture
def _eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_eager_threads")
def test_threads_do_not_get_more_requests_through_together(clock: Clock) -> None:
    windows, tenant = RequestWindows(clock), uuid.uuid4()
    together = threading.Barrier(16)

    def ask() -> list[bool]:
        together.wait()
        return [windows.count(tenant, 100).allowed for _ in range(20)]

    with ThreadPoolExecutor(16) as pool:
        verdicts = [verdict for asked in [pool.submit(ask) for _ in range(16)] for verdict in asked.result()]
    assert verdicts.count(True) == 100


# --- The lease ---


@pytest.fixture
async def lease(clock: Clock) -> Lease:
    return Lease(asyncio.get_running_loop(), clock)


HELD = settings.LEASE_SECONDS - settings.LEASE_MARGIN_SECONDS


async def test_a_process_nobody_answered_yet_holds_nothing(lease: Lease) -> None:
    assert not lease.holds()
    assert not lease.may_take_over()
    assert lease.lapses == 0


async def test_a_lease_is_counted_from_before_the_beat_was_sent(lease: Lease, clock: Clock) -> None:
    asked = clock.now
    clock.now += HELD - 0.5
    lease.renew(asked)
    assert lease.holds()
    clock.now += 0.5
    assert not lease.holds()


async def test_a_lease_ends_a_margin_before_others_may_take_over(lease: Lease, clock: Clock) -> None:
    lease.renew(clock.now)
    clock.now += HELD - 0.001
    assert lease.holds()
    clock.now += 0.001
    assert not lease.holds()
    assert settings.LEASE_MARGIN_SECONDS > 0


async def test_a_lease_renewed_in_time_never_lapsed(lease: Lease, clock: Clock) -> None:
    for _ in range(10):
        lease.renew(clock.now)
        clock.now += settings.BEAT_SECONDS
    assert lease.holds()
    assert lease.lapses == 1  # the first beat


async def test_a_lapse_is_counted_even_if_the_lease_is_renewed_at_once(lease: Lease, clock: Clock) -> None:
    lease.renew(clock.now)
    before = lease.lapses
    clock.now += HELD
    lease.renew(clock.now)
    assert lease.holds()
    assert lease.lapses == before + 1


async def test_nobody_judges_others_before_a_whole_lease_of_its_own(lease: Lease, clock: Clock) -> None:
    start = clock.now
    while clock.now - start < settings.LEASE_SECONDS:
        lease.renew(clock.now)
        assert not lease.may_take_over()
        clock.now += settings.BEAT_SECONDS
    assert lease.may_take_over()


async def test_after_a_lapse_the_waiting_begins_anew(lease: Lease, clock: Clock) -> None:
    lease.renew(clock.now)
    clock.now += 10 * settings.LEASE_SECONDS
    lease.renew(clock.now)
    assert lease.holds()
    assert not lease.may_take_over()


async def test_a_loop_that_turns_has_given_its_sign_by_the_next_beat(lease: Lease, clock: Clock) -> None:
    for _ in range(10):
        assert lease.loop_turns()
        clock.now += 10 * settings.LEASE_SECONDS
        await asyncio.sleep(0)


async def test_a_loop_that_did_not_turn_for_a_lease_hangs_until_it_turns_again(lease: Lease, clock: Clock) -> None:
    # Nothing here lets the loop turn.
    assert lease.loop_turns()
    clock.now += settings.LEASE_SECONDS - 0.001
    assert lease.loop_turns()
    clock.now += 0.001
    assert not lease.loop_turns()
    await asyncio.sleep(0)
    assert lease.loop_turns()


async def test_who_waits_for_the_lease_goes_on_once_it_is_renewed(lease: Lease, clock: Clock) -> None:
    waiting = asyncio.create_task(lease.renewed())
    await asyncio.sleep(0)
    lease.renew(clock.now - settings.LEASE_SECONDS)  # An answer that came too late renews nothing.
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await asyncio.to_thread(lease.renew, clock.now)
    async with asyncio.timeout(15):
        await waiting
