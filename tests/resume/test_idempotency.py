"""Idempotency-Key on the two POSTs that create: carried out once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chats.idempotency import do_forget
from chats.models import Chat, IdempotencyRecord
from tests.support.actors import Actor


def create(actor: Actor, key: str, **body: Any) -> Any:
    return actor.rest("POST", "/", json={"user_id": "alice", **body}, headers={"Idempotency-Key": key})


def test_the_same_request_is_answered_the_first_answer(acme: Actor) -> None:
    key = uuid.uuid4().hex
    first, again = create(acme, key, metadata={"a": 1, "b": 2}), create(acme, key, metadata={"b": 2, "a": 1})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert Chat.objects.for_tenant(acme.tenant_id).count() == 1


def test_fifty_at_once_make_one_chat(acme: Actor) -> None:
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: create(acme, key), range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert Chat.objects.for_tenant(acme.tenant_id).count() == 1


def test_another_body_is_a_conflict(acme: Actor) -> None:
    key = uuid.uuid4().hex
    create(acme, key)
    other = create(acme, key, title="other")
    assert (other.status_code, other.json()["error_code"]) == (422, "IDEMPOTENCY_CONFLICT")


def test_another_route_is_a_conflict(acme: Actor) -> None:
    key = uuid.uuid4().hex
    headers = {"Idempotency-Key": key}
    assert acme.customer("POST", "", headers=headers).status_code == 201
    other = acme.rest("POST", "/", json={"user_id": "alice"}, headers=headers)
    assert (other.status_code, other.json()["error_code"]) == (422, "IDEMPOTENCY_CONFLICT")


def test_a_trailing_slash_is_the_same_route(acme: Actor) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answers = [acme.customer("POST", path, headers=headers).json() for path in ("", "/")]
    assert answers[0] == answers[1]


def test_another_tenants_key_of_the_same_name_is_another(acme: Actor, globex: Actor) -> None:
    key = uuid.uuid4().hex
    assert create(acme, key).json()["id"] != create(globex, key).json()["id"]


def test_a_request_that_failed_is_not_remembered(acme: Actor) -> None:
    key = uuid.uuid4().hex
    assert create(acme, key, title=7).status_code == 400
    assert create(acme, key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "ü"])
def test_a_key_that_is_none_is_refused(acme: Actor, key: str) -> None:
    answer = acme.rest(
        "POST",
        "/",
        json={"user_id": "alice"},
        headers={"Idempotency-Key": key.encode("latin-1")},  # type: ignore[dict-item]
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_REQUEST")


def test_after_a_day_the_key_is_free_again(acme: Actor) -> None:
    key = uuid.uuid4().hex
    first = create(acme, key).json()["id"]
    IdempotencyRecord.objects.for_tenant(acme.tenant_id).update(created_at=timezone.now() - timedelta(hours=24))
    assert create(acme, key, title="other").json()["id"] != first


def test_what_is_older_than_a_day_is_forgotten(acme: Actor) -> None:
    old, new = uuid.uuid4().hex, uuid.uuid4().hex
    create(acme, old)
    create(acme, new)
    records = IdempotencyRecord.objects.for_tenant(acme.tenant_id)
    records.filter(key=old).update(created_at=timezone.now() - timedelta(hours=25))
    do_forget()
    assert list(records.values_list("key", flat=True)) == [new]
