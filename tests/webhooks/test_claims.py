"""A delivery is one process's at a time, and its state follows what became of it."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone

from core.db.fields import Unreadable
from tests.support.actors import Actor
from tests.webhooks.conftest import new_delivery, new_endpoint
from webhooks import claims
from webhooks.claims import Claim, claim_due
from webhooks.endpoints import dead_letters, do_rotate, do_send_again
from webhooks.models import Delivery, Endpoint
from webhooks.schedule import DELAYS


@pytest.fixture
def endpoint(acme: Actor) -> Endpoint:
    return new_endpoint(acme)


def again(delivery: Delivery) -> Delivery:
    return Delivery.objects.for_tenant(delivery.tenant_id).get(id=delivery.id)


def take(most: int = 64, **sending: Any) -> list[Claim]:
    return claim_due(sending=sending.get("sending", {}), most=most)


def fail(delivery: Delivery, times: int = 1, **fields: Any) -> None:
    """Take it and let it fail, its time having come."""
    for _ in range(times):
        Delivery.objects.for_tenant(delivery.tenant_id).filter(id=delivery.id).update(next_attempt_at=Now())
        [claim] = take()
        claims.save_failed(claim, **{"status": 500, "error": "answered 500", **fields})


def wait_of(delivery: Delivery) -> float:
    """Seconds until the next attempt, by the database's clock."""
    rows = Delivery.objects.for_tenant(delivery.tenant_id).filter(id=delivery.id)
    [(due, now)] = rows.annotate(now=Now()).values_list("next_attempt_at", "now")
    return (due - now).total_seconds()


def test_what_is_taken_is_not_taken_again(endpoint: Endpoint) -> None:
    delivery = new_delivery(endpoint)
    [claim] = take()
    assert (claim.delivery_id, claim.attempt, claim.url) == (delivery.id, 1, endpoint.url)
    assert take() == []


def test_what_nobody_answered_for_is_taken_again(endpoint: Endpoint) -> None:
    """The process that took it died."""
    delivery = new_delivery(endpoint)
    take()
    assert claims.ATTEMPT_SECONDS < wait_of(delivery) < 60
    Delivery.objects.for_tenant(endpoint.tenant_id).update(next_attempt_at=Now())
    [claim] = take()
    assert (claim.attempt, claim.webhook_id) == (2, delivery.webhook_id)


def test_what_became_of_an_earlier_attempt_is_not_written(endpoint: Endpoint) -> None:
    delivery = new_delivery(endpoint)
    [first] = take()
    Delivery.objects.for_tenant(endpoint.tenant_id).update(next_attempt_at=Now())
    take()
    claims.save_failed(first, status=410, error="late", gone=True)
    claims.save_delivered(first, status=204)
    assert again(delivery).state == Delivery.State.PENDING
    endpoint.refresh_from_db(from_queryset=Endpoint.objects.for_tenant(endpoint.tenant_id))
    assert endpoint.is_enabled


def test_one_endpoint_takes_no_more_than_its_share(endpoint: Endpoint, globex: Actor) -> None:
    for _ in range(10):
        new_delivery(endpoint)
    other = new_delivery(new_endpoint(globex))
    taken = Counter(claim.endpoint_id for claim in take())
    assert taken == {endpoint.id: claims.OF_ONE_ENDPOINT, other.endpoint_id: 1}
    assert take(sending={endpoint.id: claims.OF_ONE_ENDPOINT}) == []
    assert len(take(sending={endpoint.id: claims.OF_ONE_ENDPOINT - 1})) == 1


def test_no_more_is_taken_than_there_is_room_for(acme: Actor) -> None:
    for _ in range(5):
        new_delivery(new_endpoint(acme))
    assert len(take(most=3)) == 3
    assert len(take(most=3)) == 2


def test_what_waits_for_one_that_is_switched_off_goes_on_waiting(endpoint: Endpoint) -> None:
    new_delivery(endpoint)
    Endpoint.objects.for_tenant(endpoint.tenant_id).update(is_enabled=False)
    assert take() == []
    Endpoint.objects.for_tenant(endpoint.tenant_id).update(is_enabled=True)
    assert len(take()) == 1


@pytest.mark.parametrize("attempt", range(1, len(DELAYS)))
def test_it_is_tried_again_when_the_schedule_says(endpoint: Endpoint, attempt: int) -> None:
    delivery = new_delivery(endpoint, attempts=attempt - 1)
    fail(delivery)
    row = again(delivery)
    assert (row.state, row.attempts, row.last_status, row.last_error) == ("pending", attempt, 500, "answered 500")
    assert 0.8 * DELAYS[attempt] - 1 < wait_of(delivery) <= 1.2 * DELAYS[attempt]


def test_after_the_last_attempt_it_is_dead_and_says_why(endpoint: Endpoint) -> None:
    delivery = new_delivery(endpoint)
    fail(delivery, times=len(DELAYS))
    row = again(delivery)
    assert (row.state, row.attempts, row.last_status) == ("dead", 10, 500)
    assert row.last_error == "answered 500; it was tried 10 times over three days"


def test_an_endpoint_that_took_nothing_for_three_days_is_switched_off(endpoint: Endpoint) -> None:
    waiting = new_delivery(endpoint, next_attempt_at=timezone.now() + timedelta(hours=1))
    fail(new_delivery(endpoint), times=len(DELAYS))
    off = Endpoint.objects.for_tenant(endpoint.tenant_id).get()
    assert not off.is_enabled
    assert "answered 500; it was tried 10 times" in off.disabled_reason
    assert again(waiting).state == Delivery.State.DEAD
    assert again(waiting).last_error == f"the endpoint was switched off: {off.disabled_reason}"


def test_one_that_only_refuses_this_event_stays_on(endpoint: Endpoint) -> None:
    delivery = new_delivery(endpoint)
    new_delivery(endpoint, state=Delivery.State.DELIVERED, finished_at=timezone.now())
    fail(delivery, times=len(DELAYS))
    assert again(delivery).state == Delivery.State.DEAD
    assert Endpoint.objects.for_tenant(endpoint.tenant_id).get().is_enabled


def test_gone_switches_off_that_endpoint_only(endpoint: Endpoint, acme: Actor) -> None:
    other = new_endpoint(acme)
    delivery = new_delivery(endpoint)
    fail(delivery, status=410, error="answered 410: it wants no webhooks any more", gone=True)
    assert again(delivery).state == Delivery.State.DEAD
    enabled = Endpoint.objects.for_tenant(acme.tenant_id).filter(is_enabled=True)
    assert [each.id for each in enabled] == [other.id]


def test_a_dead_letter_is_sent_again_under_its_id(endpoint: Endpoint) -> None:
    delivery = new_delivery(endpoint)
    fail(delivery, gone=True)
    Endpoint.objects.for_tenant(endpoint.tenant_id).update(is_enabled=True)
    assert do_send_again(dead_letters([endpoint.id])) == 1
    [claim] = take()
    assert (claim.attempt, claim.webhook_id, claim.body) == (1, delivery.webhook_id, delivery.body)


def test_to_one_that_is_switched_off_nothing_is_sent_again(endpoint: Endpoint) -> None:
    fail(new_delivery(endpoint), gone=True)
    assert do_send_again(dead_letters([endpoint.id])) == 0


def test_what_is_given_back_is_the_same_attempt_at_once(endpoint: Endpoint) -> None:
    new_delivery(endpoint)
    claims.give_back(take())
    assert [claim.attempt for claim in take()] == [1]


def test_both_secrets_sign_until_the_grace_is_over(endpoint: Endpoint) -> None:
    old = endpoint.secret
    do_rotate(endpoint)
    new_delivery(endpoint)
    new_delivery(endpoint)
    [claim, _] = take()
    assert claim.secrets == [endpoint.secret, old]
    Endpoint.objects.for_tenant(endpoint.tenant_id).update(previous_until=timezone.now())
    Delivery.objects.for_tenant(endpoint.tenant_id).update(next_attempt_at=Now())
    assert {tuple(claim.secrets) for claim in take()} == {(endpoint.secret,)}


def test_without_a_readable_secret_nothing_is_signed(endpoint: Endpoint) -> None:
    do_rotate(endpoint)
    Endpoint.objects.for_tenant(endpoint.tenant_id).update(secret=Unreadable("from another installation"))
    new_delivery(endpoint)
    [claim] = take()
    assert claim.secrets == []


def test_old_deliveries_are_forgotten(endpoint: Endpoint) -> None:
    old = timezone.now() - timedelta(days=claims.KEPT_DAYS, minutes=1)
    new_delivery(endpoint, state=Delivery.State.DELIVERED, created_at=old)
    young = new_delivery(endpoint, state=Delivery.State.DEAD)
    assert claims.do_tidy() is False
    assert [row.id for row in Delivery.objects.for_tenant(endpoint.tenant_id)] == [young.id]


def test_what_is_too_much_for_one_statement_is_tidied_by_and_by(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "AT_A_TIME", 2)
    old = timezone.now() - timedelta(days=claims.KEPT_DAYS, minutes=1)
    for _ in range(3):
        new_delivery(endpoint, state=Delivery.State.DELIVERED, created_at=old)
        new_delivery(endpoint, next_attempt_at=timezone.now() + timedelta(hours=1))
    fail(new_delivery(endpoint), gone=True)
    while claims.do_tidy():
        pass
    assert {row.state for row in Delivery.objects.for_tenant(endpoint.tenant_id)} == {"dead"}
    assert Delivery.objects.for_tenant(endpoint.tenant_id).count() == 4


def test_processes_that_look_at_once_share_without_doubles(real_acme: Actor, settings: LazySettings) -> None:
    made = {new_delivery(new_endpoint(real_acme)).id for _ in range(30)}
    taken: list[Claim] = []
    begin = threading.Barrier(4)

    def look() -> None:
        begin.wait()
        for _ in range(5):
            taken.extend(claim_due(sending={}, most=10))
        connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(claim.delivery_id for claim in taken) == dict.fromkeys(made, 1)
