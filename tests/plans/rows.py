"""A database in which everything is large: 100,000 messages in one chat, 100,000 chats of one user, and the others.

Rows are made by the database itself, from numbers: seconds, where Django would take minutes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.db.models.fields import NOT_PROVIDED

from chats.models import Chat, Connection, IdempotencyRecord, Message, Process, Reply
from knowledge.models import Article
from tenants.models import Account, ApiKey, CreditEntry, EndUser, Tenant
from tests.support.actors import Actor, new_actor
from webhooks.models import Delivery, Endpoint

#: What the issue names: messages in a chat, chats of a user.
MANY = 100_000
#: Chats of everybody else, each with a user of its own.
OTHERS = 40_000
#: What else there is many of.
MORE = 12_000
#: Tenants, keys, articles, staff: what people type.
SOME = 1_500

_tables = itertools.count(10)


def _id(table: int, number: str = "n") -> str:
    """SQL of the id of a row, in the order of its number. Decimal digits are hexadecimal ones."""
    digits = f"substr('00000000' || ({number}), length('' || ({number})) + 1)"
    return _uuid(f"{digits} || '00004000800000{table}00000000'")


def _uuid(text: str) -> str:
    return text if connection.vendor == "sqlite" else f"({text})::uuid"


def _known(row: models.Model) -> str:
    """SQL of the id of a row that is there."""
    return _uuid(f"'{row.pk.hex}'")


def _at(number: str = "n") -> str:
    """SQL of a moment for each number, one second after the other."""
    if connection.vendor == "sqlite":
        return f"datetime('2026-01-01', ({number}) || ' seconds')"
    return f"timestamptz '2026-01-01 00:00:00Z' + ({number}) * interval '1 second'"


def fill(model: type[models.Model], count: int, **columns: str) -> int:
    """Make rows, number `n` from 0 on: each column as its SQL says, the others by the field's default.

    Answers the number of the ids' table, for `_id`. A modulo is written `%%`, as the driver takes it.
    """
    table = next(_tables)
    values: dict[str, str] = {}
    parameters: list[Any] = []
    for field in model._meta.concrete_fields:
        if field.attname in columns:
            values[field.column] = columns[field.attname]
        elif field.primary_key and isinstance(field, models.UUIDField):
            values[field.column] = _id(table)
        elif getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
            values[field.column] = _at()
        elif not isinstance(field, models.AutoField) and field.db_default is NOT_PROVIDED:
            parameters.append(field.get_db_prep_save(field.get_default(), connection))
            # PostgreSQL does not guess the type of a parameter that is only selected.
            values[field.column] = f"CAST(%s AS {field.db_type(connection)})"
    names = ", ".join(f'"{column}"' for column in values)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{model._meta.db_table}" ({names}) '
            f"WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count - 1}) "
            f"SELECT {', '.join(values.values())} FROM numbers",
            parameters,
        )
    return table


@dataclass(frozen=True)
class Large:
    """What stands in the database."""

    acme: Actor
    #: Has MANY chats.
    alice: EndUser
    #: A conversation in which MANY messages were said, half of them questions.
    long: Chat
    process: Process
    staff: User
    #: One of Acme's, among many.
    article: Article


@contextmanager
def _references_checked_once() -> Iterator[None]:
    """Foreign keys are checked at the end, by table: PostgreSQL's check of each row is most of the work."""
    if connection.vendor == "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(
            "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
        )
        references = cursor.fetchall()
        for table, name, _ in references:
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        yield
        for table, name, definition in references:
            cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')


@transaction.atomic
def make() -> Large:
    """Fill the (empty) database."""
    with _references_checked_once():
        return _make()


def _make() -> Large:
    acme = new_actor("Acme", ws_connections=4 * MORE)
    tenant = _known(acme.tenant)
    alice = EndUser.objects.create(tenant=acme.tenant, external_id="alice")
    long = Chat.objects.create(tenant=acme.tenant, user=alice, is_conversation=True, last_sequence=MANY)
    process = Process.objects.create()
    staff = User.objects.create_superuser("olga")

    tenants = fill(Tenant, SOME, name="'tenant ' || n")
    anybody = _id(tenants, f"n %% {SOME}")
    fill(Account, SOME, tenant_id=_id(tenants))
    kinds = "CASE n %% 2 WHEN 0 THEN 'tenant' ELSE 'customer' END"
    fill(ApiKey, SOME, tenant_id=tenant, digest="'a' || n", kind=kinds, created_at=_at())
    fill(ApiKey, SOME, tenant_id=anybody, digest="'b' || n", kind=kinds, created_at=_at())
    states = "CASE n %% 50 WHEN 0 THEN 'draft' ELSE 'published' END"
    article = Article.objects.create(tenant=acme.tenant, title="Opening hours", body="From 9 to 5.")
    fill(Article, SOME // 10, tenant_id=tenant, title="'article ' || n", state=states)
    fill(Article, SOME, tenant_id=anybody, title="'article ' || n", state=states)
    fill(User, SOME, username="'staff ' || n", date_joined=_at())
    fill(Group, SOME // 10, name="'group ' || n")

    users = fill(EndUser, OTHERS, tenant_id=anybody, external_id="'user ' || n", created_at=_at())
    fill(EndUser, MORE, tenant_id=tenant, external_id="'user ' || n", created_at=_at())
    # Few wait for a person, fewer are closed: what is rare is what a list must not read everything for.
    statuses = "CASE WHEN n %% 500 = 0 THEN 'closed' WHEN n %% 100 = 1 THEN 'escalated' ELSE 'active' END"
    said = {"status": statuses, "created_at": _at(), "updated_at": _at(), "last_message_at": _at()}
    fill(Chat, MANY, tenant_id=tenant, user_id=_known(alice), last_sequence="0", **said)
    chats = fill(Chat, OTHERS, tenant_id=anybody, user_id=_id(users), last_sequence="1", **said)

    messages = fill(
        Message,
        MANY,
        tenant_id=tenant,
        chat_id=_known(long),
        user_id=_known(alice),
        sequence="n + 1",
        role="CASE n %% 2 WHEN 0 THEN 'user' ELSE 'assistant' END",
        content="'What was said as number ' || n",
        created_at=_at(),
    )
    first = {"sequence": "1", "role": "'user'", "content": "'hello'", "created_at": _at()}
    questions = fill(Message, OTHERS, tenant_id=anybody, chat_id=_id(chats), user_id=_id(users), **first)
    answered = {"state": "'done'", "created_at": _at()}
    fill(Reply, MANY // 2, tenant_id=tenant, chat_id=_known(long), question_id=_id(messages, "2 * n"), **answered)
    # Of the others' replies some wait, and of some the process died.
    states = "CASE WHEN n %% 1000 = 0 THEN 'queued' WHEN n %% 1000 = 1 THEN 'running' ELSE 'done' END"
    fill(
        Reply,
        OTHERS,
        tenant_id=anybody,
        chat_id=_id(chats),
        question_id=_id(questions),
        state=states,
        created_at=_at(),
    )
    entry = {"reason": "'reply'", "amount": "-1", "balance_after": "n", "created_at": _at()}
    fill(CreditEntry, 2 * MORE, tenant_id=f"CASE n %% 2 WHEN 0 THEN {tenant} ELSE {anybody} END", **entry)
    fill(IdempotencyRecord, MORE, tenant_id=tenant, key="'key ' || n", answer="'{}'")
    key = _known(ApiKey.objects.for_tenant(acme.tenant_id).get(digest="a0"))
    processes = fill(Process, 30)
    fill(
        Connection,
        SOME // 2,
        process_id=_id(processes, "n %% 30"),
        tenant_id=anybody,
        chat_id=_id(chats),
        user_id=_id(users),
        key_id=key,
    )
    fill(
        Connection,
        MORE,
        process_id=_id(processes, "n %% 30"),
        tenant_id=tenant,
        chat_id=_known(long),
        user_id=_known(alice),
        key_id=key,
        slot="n + 1",
    )
    fill(Endpoint, SOME, tenant_id=anybody, url="'https://shop.example.com/' || n", secret="''", created_at=_at())
    endpoint = Endpoint.objects.create(tenant=acme.tenant, url="https://acme.example.com/", secret="whsec_x")
    told = {"event": "'message.created'", "body": "'{}'", "created_at": _at(), "next_attempt_at": _at()}
    states = "CASE n %% 500 WHEN 0 THEN 'pending' WHEN 1 THEN 'dead' ELSE 'delivered' END"
    fill(Delivery, MORE, tenant_id=tenant, endpoint_id=_known(endpoint), state=states, **told)
    done = {"action_flag": str(CHANGE), "object_repr": "'chat'", "change_message": "''", "action_time": _at()}
    about = {"user_id": str(staff.pk), "content_type_id": str(ContentType.objects.get_for_model(Chat).pk)}
    fill(LogEntry, MORE, object_id="'object ' || n", **about, **done)
    return Large(acme, alice, long, process, staff, article)


def settle() -> None:
    """Let PostgreSQL look at what it has, as it does by itself in time. SQLite never does."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("VACUUM ANALYZE")
