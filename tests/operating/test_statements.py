"""Statements that are compiled once say what their querysets say."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.transaction import TransactionManagementError

from chats.models import Chat, Message
from core.db.statements import Delete, Insert, Param, Select, Update
from tenants.models import Account, CreditEntry, EndUser, Tenant

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def chat() -> Chat:
    tenant = Tenant.objects.create(name="Acme")
    Account.objects.create(tenant=tenant, balance=10)
    user = EndUser.objects.create(tenant=tenant, external_id="alice")
    return Chat.objects.create(tenant=tenant, user=user, title="Shoes", metadata={"b": [1, None], "a": "é"})


def message(chat: Chat, sequence: int, **more: object) -> Message:
    given = {"role": "user", "content": f"{sequence}", **more}
    return Message(tenant_id=chat.tenant_id, chat=chat, user=chat.user, sequence=sequence, **given)


def fields(row: object) -> dict[str, object]:
    return {name: value for name, value in vars(row).items() if name != "_state"}


def test_objects_are_those_of_the_queryset_with_what_they_select(chat: Chat) -> None:
    found = Select(lambda: Chat.objects.all_tenants().filter(id=Param("id")).select_related("user")).first(id=chat.id)
    assert found is not None
    same = Chat.objects.all_tenants().select_related("user").get(id=chat.id)
    assert fields(found) == fields(same)
    with connection.execute_wrapper(refuse):
        assert found.user.external_id == "alice"


def refuse(*arguments: object) -> None:
    raise AssertionError("asked once more")


def test_what_is_selected_and_not_there_is_none(chat: Chat) -> None:
    message(chat, 1).save(force_insert=True)
    [found] = Select(lambda: Message.objects.all_tenants().select_related("reply_to", "user")).all()
    with connection.execute_wrapper(refuse):
        assert found.reply_to is None
        assert found.user == chat.user


def test_each_value_takes_the_place_of_its_name(chat: Chat) -> None:
    for sequence in range(1, 6):
        message(chat, sequence).save(force_insert=True)
    between = Select(
        lambda: (
            Message.objects.for_tenant(Param("tenant_id"))
            .filter(sequence__gt=Param("after"), sequence__lte=Param("upto"))
            .order_by("-sequence")
            .values_list("sequence", flat=True)
        )
    )
    assert between.all(tenant_id=chat.tenant_id, after=1, upto=3) == [3, 2]
    assert between.all(tenant_id=chat.tenant_id, after=3, upto=9) == [5, 4]
    assert between.all(tenant_id=uuid.uuid4(), after=0, upto=9) == []
    assert between.first(tenant_id=chat.tenant_id, after=9, upto=9) is None


def test_tuples_hold_what_their_fields_read(chat: Chat) -> None:
    listed = Select(lambda: Chat.objects.all_tenants().values_list("id", "metadata", "created_at", "deleted_at"))
    assert listed.all() == [(chat.id, {"b": [1, None], "a": "é"}, chat.created_at, None)]


def test_a_statement_is_built_once(chat: Chat) -> None:
    built = []

    def build():  # type: ignore[no-untyped-def]
        built.append(True)
        return Chat.objects.all_tenants().filter(id=Param("id"))

    statement = Select(build)
    assert statement.first(id=chat.id) == statement.first(id=chat.id) == chat
    assert len(built) == 1


def test_a_value_that_is_missing_is_no_null(chat: Chat) -> None:
    with pytest.raises(KeyError, match="id"):
        Select(lambda: Chat.objects.all_tenants().filter(id=Param("id"))).first()


def test_none_is_no_value(chat: Chat) -> None:
    with pytest.raises(TypeError, match="None"):
        Select(lambda: Chat.objects.all_tenants().filter(deleted_at=Param("moment"))).first(moment=None)


def test_shapes_it_can_not_read_are_refused(chat: Chat) -> None:
    with pytest.raises(NotImplementedError):
        Select(lambda: Chat.objects.all_tenants().values("id")).all()
    with pytest.raises(NotImplementedError):
        Select(lambda: Chat.objects.all_tenants().annotate(twice=F("last_sequence") * 2)).all()
    with pytest.raises(NotImplementedError):
        Select(lambda: Chat.objects.all_tenants().prefetch_related("messages")).all()


@pytest.mark.django_db(transaction=True)
def test_rows_are_locked_within_a_transaction_only(chat: Chat) -> None:
    locked = Select(lambda: Chat.objects.all_tenants().filter(id=Param("id")).select_for_update(no_key=True))
    with transaction.atomic():
        assert locked.first(id=chat.id) == chat
    if connection.features.has_select_for_update:
        with pytest.raises(TransactionManagementError):
            locked.first(id=chat.id)
    else:
        assert "FOR" not in locked._statement(connection).sql


def test_an_update_changes_what_it_names_and_counts(chat: Chat) -> None:
    other = Chat.objects.create(tenant_id=chat.tenant_id, user=chat.user)
    change = Update(
        lambda: Chat.objects.all_tenants().filter(id=Param("id")),
        title=Param("title"),
        last_message_at=Param("now"),
        last_sequence=F("last_sequence") + Param("more"),
    )
    assert change.run(id=chat.id, title="Boots", now=NOON, more=2) == 1
    assert change.run(id=uuid.uuid4(), title="Nothing", now=NOON, more=9) == 0
    assert Chat.objects.all_tenants().values_list("title", "last_message_at", "last_sequence").get(id=chat.id) == (
        "Boots",
        NOON,
        2,
    )
    other.refresh_from_db()
    assert (other.title, other.last_sequence) == ("", 0)


def test_a_delete_takes_what_it_names_and_counts(chat: Chat) -> None:
    for sequence in (1, 2, 3):
        message(chat, sequence).save(force_insert=True)
    late = Delete(lambda: Message.objects.all_tenants().filter(sequence__gt=Param("after")))
    assert late.run(after=1) == 2
    assert list(Message.objects.all_tenants().values_list("sequence", flat=True)) == [1]


def test_a_row_is_inserted_as_saving_it_would(chat: Chat) -> None:
    given = {"created_at": NOON, "metadata": {"é": ["\\", 1e308]}, "client_message_id": None}
    inserted, saved = message(chat, 1, **given), message(chat, 2, **given)
    Insert(Message).run(inserted)
    saved.save(force_insert=True)
    first, second = (fields(row) for row in Message.objects.all_tenants().order_by("sequence"))
    for row in (first, second):
        assert (row.pop("content"), row.pop("sequence")) in {("1", 1), ("2", 2)}
    assert first.pop("id") == inserted.id
    assert second.pop("id") == saved.id
    assert first == second
    assert not inserted._state.adding


def test_a_row_gets_its_number_from_the_database(chat: Chat) -> None:
    insert = Insert(CreditEntry)
    for amount in (5, -3):
        insert.run(CreditEntry(tenant_id=chat.tenant_id, reason="grant", amount=amount, balance_after=5))
    assert list(CreditEntry.objects.all_tenants().order_by("id").values_list("amount", flat=True)) == [5, -3]


def test_a_row_that_may_not_be_is_an_integrity_error(chat: Chat) -> None:
    Insert(Message).run(message(chat, 1))
    with pytest.raises(IntegrityError), transaction.atomic():
        Insert(Message).run(message(chat, 1))
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            Insert(Message).run(message(chat, 1))
        # As after saving: nothing of this transaction may be committed.
        assert connection.needs_rollback
        connection.set_rollback(True)
