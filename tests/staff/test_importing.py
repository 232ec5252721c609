"""Articles in the admin: brought in, taken along, and brought back to what they said."""

from __future__ import annotations

import csv
import io
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from knowledge import article_store
from knowledge.models import Article, ArticleVersion
from tests.staff.conftest import client_of, staff
from tests.support.actors import Actor

LIST = "/admin/agents/article/"


def send(client: Client, actor: Actor, name: str = "in.csv", content: str = "", **fields: Any) -> Any:
    file = {"file": SimpleUploadedFile(name, content.encode())} if content else {}
    return client.post(LIST + "import/", {"tenant": actor.tenant_id, **file, **fields}, follow=True)


def new_article(actor: Actor, title: str, body: str = "Something.") -> Article:
    article = Article(tenant=actor.tenant, title=title, body=body)
    article_store.save_article(article)
    return article


def test_a_file_is_imported(olga: Client, acme: Actor, globex: Actor) -> None:
    page = send(olga, acme, content="title,body\nReturns,Thirty days.\n").content.decode()
    assert "1 new, 0 changed, 0 the same as before" in page
    assert Article.objects.for_tenant(acme.tenant_id).get().title == "Returns"
    assert not Article.objects.for_tenant(globex.tenant_id).exists()


def test_a_bad_file_is_told_in_place_and_changes_nothing(olga: Client, acme: Actor) -> None:
    page = send(olga, acme, content="title,body\nGood,x\n,y\n").content.decode()
    assert "Nothing was imported." in page
    assert "in.csv, line 3: title this field cannot be blank." in page
    # What was chosen stays chosen.
    assert f'value="{acme.tenant_id}" selected' in page
    assert not Article.objects.for_tenant(acme.tenant_id).exists()


def test_an_address_that_is_not_public_is_told_in_place(olga: Client, acme: Actor) -> None:
    page = send(olga, acme, address="https://10.0.0.1/secret").content.decode()
    assert "the address is not on the public internet" in page
    assert 'value="https://10.0.0.1/secret"' in page


def test_neither_file_nor_address_is_told_in_place(olga: Client, acme: Actor) -> None:
    assert "Choose a file or type an address" in send(olga, acme).content.decode()


def test_who_may_only_look_imports_nothing_but_exports(acme: Actor) -> None:
    new_article(acme, "Returns")
    viewer = client_of(staff("vic", "view_article"))
    assert send(viewer, acme, content="title,body\nA,b\n").status_code == 403
    assert "Returns" in viewer.get(LIST + "export/", {"tenant": acme.tenant_id}).content.decode()
    assert "import/" not in viewer.get(LIST).content.decode()


def test_who_may_not_look_exports_nothing(acme: Actor) -> None:
    assert client_of(staff("ned", "view_chat")).get(LIST + "export/").status_code == 403


def test_a_tenants_articles_are_exported(olga: Client, acme: Actor, globex: Actor) -> None:
    article = new_article(acme, "Returns", 'Thirty "days",\nor more.')
    new_article(globex, "Secret")
    answer = olga.get(LIST + "export/", {"tenant": acme.tenant_id})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(answer.content.decode(), newline=""))
    assert (row["id"], row["title"], row["body"]) == (str(article.id), "Returns", 'Thirty "days",\nor more.')


def test_the_selected_articles_are_exported(olga: Client, acme: Actor) -> None:
    chosen, _ = new_article(acme, "Returns"), new_article(acme, "Warranty")
    answer = olga.post(LIST, {"action": "export_selected", "_selected_action": [str(chosen.id)]})
    assert [row["title"] for row in csv.DictReader(io.StringIO(answer.content.decode()))] == ["Returns"]


def test_an_earlier_version_is_read_and_restored(olga: Client, acme: Actor) -> None:
    article = new_article(acme, "Returns", "Thirty days.")
    change = f"{LIST}{article.id}/change/"
    olga.post(change, {"title": "Returns", "body": "Ten days.", "state": "published", "language": "en"})
    version = f"{LIST}{article.id}/versions/1/"
    page = olga.get(change).content.decode()
    assert version in page
    assert "by olga" in page
    assert "Thirty days." in olga.get(version).content.decode()
    olga.post(version)
    article.refresh_from_db()
    assert article.body == "Thirty days."
    latest = ArticleVersion.objects.for_tenant(acme.tenant_id).get(number=2)
    assert (latest.body, str(latest.replaced_by)) == ("Ten days.", "olga")


def test_who_may_only_look_restores_nothing(acme: Actor) -> None:
    article = new_article(acme, "Returns", "Thirty days.")
    article.body = "Ten days."
    article_store.save_article(article)
    viewer = client_of(staff("vic", "view_article"))
    page = viewer.get(f"{LIST}{article.id}/versions/1/").content.decode()
    assert "Thirty days." in page
    assert "Restore" not in page
    assert viewer.post(f"{LIST}{article.id}/versions/1/").status_code == 403
    assert viewer.get(f"{LIST}{article.id}/versions/2/").status_code == 404
