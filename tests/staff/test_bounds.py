"""No page of the admin reads or counts a whole table, however large (tests/plans reads the plans)."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chats.models import Chat
from knowledge.models import Article
from staff.paging import BoundedPaginator
from tenants.models import ApiKey, CreditEntry, EndUser, Tenant
from tests.staff.conftest import NewChat, page_of
from tests.support.actors import Actor

MANY = 300
LARGE = (
    "chats_chat",
    "chats_message",
    "tenants_tenant",
    "tenants_enduser",
    "tenants_creditentry",
    "tenants_apikey",
    "agents_article",
    "auth_user",
)


@pytest.fixture
def crowd(acme: Actor, new_chat: NewChat) -> Chat:
    """Many rows of every kind; the chat among them in which much was said."""
    tenant = acme.tenant
    long = new_chat(*(f"{n}" for n in range(MANY)))
    users = [EndUser(tenant=tenant, external_id=f"user {n}") for n in range(MANY)]
    EndUser.objects.bulk_create(users)
    Chat.objects.bulk_create(Chat(tenant=tenant, user=user, title="hello", status="escalated") for user in users)
    entries = [CreditEntry(tenant=tenant, reason="grant", amount=1, balance_after=n) for n in range(MANY)]
    CreditEntry.objects.bulk_create(entries)
    Tenant.objects.bulk_create(Tenant(name=f"tenant {n}") for n in range(MANY))
    User.objects.bulk_create(User(username=f"staff {n}") for n in range(MANY))
    ApiKey.objects.bulk_create(ApiKey(tenant=tenant, kind="tenant", digest=f"{n}") for n in range(MANY))
    Article.objects.bulk_create(Article(tenant=tenant, title=f"{n}", body="text") for n in range(MANY))
    return long


def unbounded(statements: list[str]) -> list[str]:
    """The statements that read a large table without an end in sight."""

    def has_end(statement: str) -> bool:
        # A transcript is a range of sequences. The LIMIT of a condition's subquery ends nothing.
        limited = re.search(r" LIMIT \d+( OFFSET \d+)?(\) subquery)?$", statement)
        return limited is not None or '"sequence" BETWEEN' in statement

    def reads_large(statement: str) -> bool:
        return any(f'FROM "{table}"' in statement for table in LARGE)

    return [each for each in statements if each.startswith("SELECT") and reads_large(each) and not has_end(each)]


PAGES = {
    "the first page": "/admin/",
    "chats": "/admin/chats/chat/",
    "chats, second page": "/admin/chats/chat/?p=2",
    "chats, all": "/admin/chats/chat/?all=",
    "chats, facets": "/admin/chats/chat/?_facets=True",
    "chats that wait": "/admin/chats/chat/?status=waiting",
    "chats with a person": "/admin/chats/chat/?status=escalated",
    "chats rated down": "/admin/chats/chat/?rated=down",
    "chats of a tenant": "/admin/chats/chat/?tenant__id__exact={chat.tenant_id}",
    "chats of a user": "/admin/chats/chat/?q=alice",
    "a chat": "/admin/chats/chat/{chat.id}/change/",
    "a chat, older": "/admin/chats/chat/{chat.id}/change/?before=100",
    "a chat, history": "/admin/chats/chat/{chat.id}/history/",
    "a chat, delete": "/admin/chats/chat/{chat.id}/delete/",
    "messages": "/admin/chats/message/",
    "messages of a chat": "/admin/chats/message/?chat__id__exact={chat.id}",
    "tenants": "/admin/tenants/tenant/",
    "tenants, found": "/admin/tenants/tenant/?q=tenant",
    "a tenant": "/admin/tenants/tenant/{chat.tenant_id}/change/",
    "tenants to choose": "/admin/autocomplete/?app_label=tenants&model_name=apikey&field_name=tenant&term=tenant",
    "a new key": "/admin/tenants/apikey/add/",
    "staff": "/admin/auth/user/",
    "users": "/admin/tenants/enduser/",
    "users, found": "/admin/tenants/enduser/?q=user 7",
    "a user": "/admin/tenants/enduser/{chat.user_id}/change/",
    "the ledger": "/admin/tenants/creditentry/",
    "keys": "/admin/tenants/apikey/",
    "keys, found": "/admin/tenants/apikey/?q=acme",
    "articles": "/admin/agents/article/",
    "articles, found": "/admin/agents/article/?q=1&language=en&state__exact=published",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_reads_one_page(olga: Client, crowd: Chat, name: str) -> None:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        response = olga.get(PAGES[name].format(chat=crowd))
    assert response.status_code == 200
    statements = [query["sql"] for query in captured.captured_queries]
    assert any(f'FROM "{table}"' in statement for statement in statements for table in LARGE)
    assert unbounded(statements) == []


def test_a_page_costs_no_query_for_each_row(olga: Client, crowd: Chat) -> None:
    for path in ("/admin/chats/chat/", "/admin/chats/message/", "/admin/tenants/apikey/", page_of(crowd)):
        with CaptureQueriesContext(connection) as captured:
            olga.get(path)
        assert len(captured) < 15, path


def test_an_unbounded_statement_would_be_noticed() -> None:
    assert unbounded(['SELECT COUNT(*) AS "__count" FROM "chats_chat"'])
    assert unbounded(['SELECT "chats_message"."id" FROM "chats_message" WHERE "chats_message"."chat_id" = 1'])
    assert unbounded(['SELECT COUNT("chats_chat"."id") FROM "chats_chat" WHERE EXISTS(SELECT 1 AS "a" LIMIT 1)'])


def test_counting_ends_where_paging_ends(olga: Client, crowd: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedPaginator, "MOST", 120)
    with CaptureQueriesContext(connection) as captured:
        page = olga.get("/admin/chats/chat/").content.decode()
    assert re.search(r"More than\s+120\s+chats", page)
    assert any("COUNT(*)" in query["sql"] and "LIMIT 121" in query["sql"] for query in captured.captured_queries)
    assert olga.get("/admin/chats/chat/?p=3").status_code == 200
    assert olga.get("/admin/chats/chat/?p=4").status_code == 302
