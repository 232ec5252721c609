"""Every list that the API and the admin give, and all that servers ask by themselves, is read by an index.

With 100,000 messages in one chat and 100,000 chats of one user: shown by the plan of every statement, and by how
much it reads. All in one module, because the database takes seconds to fill.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from django.contrib import admin
from django.db import connection, models, transaction
from django.db.models import QuerySet
from django.test import Client, RequestFactory

from chats import connections, following, idempotency, inbox
from chats.agent_context import build_context
from chats.deletion import delete_chat
from chats.models import Chat, Message, Process, Reply
from chats.posting import post_message, read_draft
from chats.replies import leases, recovery, stopping
from chats.replies.queue import claim_next
from chats.staff_replies import post_person_reply
from chats.tokens import make_token
from staff.paging import TypedFilter
from tenants.models import ApiKey, Tenant
from tests.plans.reading import Watch, large_tables
from tests.plans.rows import MANY, Large
from webhooks import claims

# --- The API ---

API = [
    *(f"chats/user/alice?offset={o}&order={order}" for o in (0, MANY // 2, MANY - 50) for order in ("asc", "desc")),
    *(f"chats/?user_id=alice&offset={offset}" for offset in (0, MANY - 50)),
    *(f"chats/?offset={offset}&order={order}" for offset in (0, MANY - 50) for order in ("asc", "desc")),
    *(f"chats/{{long}}/messages?offset={o}&order={order}" for o in (0, MANY - 50) for order in ("asc", "desc")),
    "chats/{long}",
    "customer/conversations/{long}/messages",
    "customer/conversations/{long}/stream",
]


async def ask(large: Large, method: str, path: str, **options: Any) -> httpx.Response:
    """A request to the application in this process."""
    from lexicon.asgi import application

    keys = {"X-API-Key": large.acme.tenant_key, "Authorization": f"Bearer {large.acme.customer_key}"}
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://inside", headers=keys) as client:
        return await client.request(method, f"/api/v1/{path.format(long=large.long.id)}", **options)


@pytest.mark.parametrize("path", API)
async def test_a_list_of_the_api(large: Large, watch: Watch, path: str) -> None:
    answer = await ask(large, "GET", path)
    assert answer.is_success, answer.text
    assert watch.readings
    assert watch.offenders == []


async def test_creating_once(large: Large, watch: Watch) -> None:
    once = {"Idempotency-Key": uuid.uuid4().hex}
    for _ in range(2):
        answer = await ask(large, "POST", "chats/", json={"user_id": "alice"}, headers=once)
        assert answer.status_code == 201
    assert any('FROM "chats_idempotencyrecord"' in reading.statement for reading in watch.readings)
    assert watch.offenders == []


# --- What servers ask by themselves ---


def _post(large: Large) -> None:
    post_message(
        tenant=large.acme.tenant,
        chat_id=str(large.long.id),
        user=large.alice,
        draft=read_draft("hello", None, "m-1", name="content"),
        process_id=large.process.id,
    )


def _connect(large: Large) -> None:
    parameters = connections.Parameters(large.acme.tenant_key, "alice", str(large.long.id))
    leases.beat(large.process.id)
    connections.open_connection(parameters=parameters, connection_id=uuid.uuid4(), process_id=large.process.id)


def _connect_visitor(large: Large) -> None:
    key = ApiKey.objects.for_tenant(large.acme.tenant_id).get(digest="a0")
    token, _ = make_token(key=key, chat_id=large.long.id, user_id="alice", ttl_seconds=60, of_visitor=True)
    parameters = connections.Parameters("", "", "", token, network="203.0.113.7")
    connections.open_connection(parameters=parameters, connection_id=uuid.uuid4(), process_id=large.process.id)


def _adopt(large: Large) -> None:
    orphan = recovery.find_orphans(process_id=large.process.id, dead_owners_too=True)[0]
    assert recovery.adopt_orphan(orphan=orphan, process_id=large.process.id) is not None


def _prepare(large: Large) -> None:
    reply = Reply.objects.for_tenant(large.acme.tenant_id).filter(chat=large.long)[0]
    assert build_context(tenant_id=large.acme.tenant_id, reply_id=reply.id) is not None


def _delete(large: Large) -> None:
    chat = Chat.objects.for_tenant(large.acme.tenant_id).filter(user=large.alice).exclude(id=large.long.id)[0]
    delete_chat(tenant_id=chat.tenant_id, chat_id=str(chat.id))


ASKED: dict[str, Callable[[Large], Any]] = {
    "where a chat stands": lambda large: following.read_snapshot(chat_id=large.long.id, after=MANY - 10),
    "a chat from its beginning": lambda large: following.read_snapshot(chat_id=large.long.id, after=0),
    "chats from time to time": lambda large: following.read_positions([large.long.id]),
    "a replay": lambda large: following.read_messages(
        tenant_id=large.acme.tenant_id, chat_id=large.long.id, after=MANY // 2, upto=MANY // 2 + 50
    ),
    "a post": _post,
    "a person's reply": lambda large: post_person_reply(
        tenant_id=large.acme.tenant_id, chat_id=large.long.id, content="hello", author_name="Sam"
    ),
    "the next reply": lambda large: claim_next(large.long, large.process.id),
    "a stop": lambda large: stopping.request_stop(tenant_id=large.acme.tenant_id, chat_id=large.long.id),
    "a connection": _connect,
    "a visitor's connection": _connect_visitor,
    "a question": _prepare,
    "a deletion": _delete,
    "orphans": lambda large: recovery.find_orphans(process_id=large.process.id, dead_owners_too=True),
    "queues that stand still": lambda large: recovery.find_orphans(process_id=large.process.id, dead_owners_too=False),
    "an adoption": _adopt,
    "a process's replies": lambda large: recovery.owned(process_id=large.process.id),
    "a process's sockets": lambda large: connections.tidy(process_id=large.process.id, open_connections=[]),
    "a process's end": lambda large: leases.do_retire(Process.objects.create().id),
    "old answers": lambda large: idempotency.do_forget(),
    "who waits": lambda large: inbox.longest_waiting(20),
    "webhooks that are due": lambda large: claims.claim_due(sending={}, most=64),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_servers_ask(large: Large, watch: Watch, name: str) -> None:
    with transaction.atomic():
        ASKED[name](large)
        transaction.set_rollback(True)
    assert watch.offenders == []


# --- The admin ---

#: What is looked for in each list that can be searched: one that many rows have, one that no row has.
SEARCHES: dict[str, tuple[str, ...]] = {
    "auth.user": ("staff 12", "nobody"),
    "auth.group": ("group 12", "nobody"),
    "agents.article": ("article 12", "nobody"),
    "chats.chat": ("alice", "user 7", "{long}", "nobody"),
    "chats.message": ("{long}", "nobody"),
    "tenants.tenant": ("tenant 7", "nobody"),
    "tenants.enduser": ("alice", "user 7", "nobody"),
    "tenants.apikey": ("tenant 7", "nobody"),
    "webhooks.endpoint": ("shop", "nobody"),
    "webhooks.delivery": ("{long}", "nobody"),
}
#: What is typed into the filters of which the admin does not know the values.
TYPED: dict[str, tuple[str, ...]] = {"language": ("en", "xx")}
#: Pages that are no list, and lists that other pages lead to.
PAGES = [
    "/admin/",
    "/admin/chats/chat/{long}/change/",
    "/admin/chats/chat/{long}/change/?before=500",
    "/admin/chats/chat/{long}/history/",
    "/admin/chats/chat/{long}/delete/",
    "/admin/tenants/enduser/{alice}/change/",
    "/admin/tenants/tenant/{tenant}/change/",
    "/admin/tenants/apikey/add/",
    "/admin/autocomplete/?app_label=tenants&model_name=apikey&field_name=tenant&term=tenant",
    "/admin/agents/article/{article}/change/",
]
LISTS = {model._meta.label_lower: registered for model, registered in admin.site._registry.items()}


@pytest.fixture
def olga(large: Large) -> Client:
    client = Client()
    client.force_login(large.staff)
    return client


def named(large: Large, text: str) -> str:
    ids = {"long": large.long.id, "alice": large.alice.id, "tenant": large.acme.tenant_id, "article": large.article.id}
    return text.format(**ids)


def filters(registered: Any) -> Iterator[dict[str, str]]:
    """Each value of each filter that the list shows."""
    request = RequestFactory().get("/")
    for shown in registered.list_filter:
        if isinstance(shown, str):
            field = registered.model._meta.get_field(shown)
            values = [value for value, _ in field.flatchoices] or ["1", "0"]
            yield from ({f"{shown}__exact": value} for value in values)
        elif issubclass(shown, TypedFilter):
            yield from ({shown.parameter_name: value} for value in TYPED[shown.parameter_name])
        else:
            asked = shown(request, {}, registered.model, registered)
            yield from ({shown.parameter_name: value} for value, _ in asked.lookups(request, registered))


def addresses(large: Large, label: str) -> Iterator[str]:
    """Every list that staff come to by a click or a search."""
    registered = LISTS[label]
    path = f"/admin/{label.replace('.', '/')}/"
    last = min(registered.model._base_manager.count() // registered.list_per_page, 20)
    asked: list[dict[str, str]] = [{}, {"p": "2"}, {"p": str(last)}, *filters(registered)]
    for column, name in enumerate(registered.list_display, 1):
        if registered.sortable_by is None or name in registered.sortable_by:
            asked += [{"o": str(column)}, {"o": str(-column)}]
    if registered.search_fields:
        asked += [{"q": named(large, text)} for text in SEARCHES[label]]
    yield from (f"{path}?{urlencode(parameters)}" for parameters in asked)
    # A tenant's page and a user's lead to their rows; then they are filtered.
    small = Tenant.objects.get(name="tenant 7")
    if f"{path}?tenant__id__exact" in tenant_page(large):
        for tenant in (large.acme.tenant, small):
            own = {"tenant__id__exact": str(tenant.id)}
            for parameters in ({}, *filters(registered)):
                # SQLite reads the tenant's chats for the few that are rated; of all tenants it begins at these.
                if "rated" not in parameters:
                    yield f"{path}?{urlencode(own | parameters)}"


def tenant_page(large: Large) -> str:
    client = Client()
    client.force_login(large.staff)
    return client.get(f"/admin/tenants/tenant/{large.acme.tenant_id}/change/").content.decode()


@pytest.mark.parametrize("label", sorted(LISTS))
def test_the_lists_of_the_admin(large: Large, olga: Client, watch: Watch, label: str) -> None:
    model: type[models.Model] = LISTS[label].model
    assert model._base_manager.count() > 100, f"rows.py makes no {label}"
    for address in addresses(large, label):
        watch.readings.clear()
        answer = olga.get(address)
        assert answer.status_code == 200, address
        assert watch.offenders == [], address
        if "q=" not in address and "rated=" not in address and "groups" not in address:
            assert not sorts(answer.context["cl"].result_list), address


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_of_the_admin(large: Large, olga: Client, watch: Watch, page: str) -> None:
    assert olga.get(named(large, page)).status_code == 200
    assert watch.offenders == []


@pytest.mark.parametrize("page", ["/admin/tenants/enduser/{alice}/change/", "/admin/tenants/tenant/{tenant}/change/"])
def test_the_lists_that_a_page_leads_to(large: Large, olga: Client, watch: Watch, page: str) -> None:
    text = olga.get(named(large, page)).content.decode().replace("&amp;", "&")
    links = re.findall(r'href="(/admin/\w+/\w+/\?[^"]+)"', text)
    assert links
    for link in links:
        watch.readings.clear()
        answer = olga.get(link)
        assert watch.offenders == [], link
        assert not sorts(answer.context["cl"].result_list), link


def sorts(shown: QuerySet[Any]) -> bool:
    """Whether the database has to sort, however little it wants to."""
    if connection.vendor == "sqlite":
        return "USE TEMP B-TREE FOR ORDER BY" in shown.explain()
    with transaction.atomic(), connection.cursor() as cursor:
        for way in ("sort", "incremental_sort", "seqscan", "bitmapscan", "hashjoin"):
            cursor.execute(f"SET LOCAL enable_{way} = off")
        return "Sort Key" in shown.explain()


# --- What would be noticed ---

OFFENDERS: dict[str, Callable[[Large], Any]] = {
    "an order without an index": lambda large: list(Chat.objects.all_tenants().order_by("title")[:50]),
    "a search without an index": lambda large: list(Message.objects.all_tenants().filter(content="nothing")),
    "a far offset": lambda large: list(
        Chat.objects.for_tenant(large.acme.tenant_id).filter(user=large.alice).order_by("created_at")[MANY - 50 :]
    ),
    "a count of rows": lambda large: Chat.objects.all_tenants().filter(title="x").count(),
    "an update of all": lambda large: Message.objects.all_tenants().filter(content="nothing").update(content=""),
    "a sort of a user's chats": lambda large: list(
        Chat.objects.for_tenant(large.acme.tenant_id).filter(user=large.alice).order_by("-title")[:50]
    ),
}


@pytest.mark.parametrize("name", OFFENDERS)
def test_it_notices(large: Large, watch: Watch, name: str) -> None:
    with transaction.atomic():
        OFFENDERS[name](large)
        transaction.set_rollback(True)
    assert len(watch.offenders) == 1


def test_what_is_large_is_known(large: Large) -> None:
    grows = {
        "chats_chat",
        "chats_message",
        "chats_reply",
        "chats_idempotencyrecord",
        "chats_connection",
        "tenants_enduser",
    }
    assert grows | {"tenants_creditentry", "webhooks_delivery", "django_admin_log"} == large_tables()
