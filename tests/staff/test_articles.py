"""Articles in the admin: what staff save is what answers quote."""

from __future__ import annotations

from typing import Any

from django.test import Client

from knowledge import article_store, retrieval
from knowledge.models import Article
from tests.staff.conftest import client_of, staff
from tests.support.actors import Actor

LIST = "/admin/agents/article/"


def form(**fields: Any) -> dict[str, Any]:
    return {"title": "Returns", "body": "Thirty days.", "state": "published", "language": "en", **fields}


def new_article(actor: Actor, title: str, **fields: Any) -> Article:
    article = Article(tenant=actor.tenant, title=title, body="Something else.", **fields)
    article_store.save_article(article)
    return article


def found(actor: Actor, question: str) -> list[str]:
    return [passage.title for passage in retrieval.search(tenant_id=actor.tenant_id, question=question)]


def test_a_new_article_is_found_by_its_tenants_agent_only(olga: Client, acme: Actor, globex: Actor) -> None:
    assert olga.post(LIST + "add/", form(tenant=acme.tenant_id)).status_code == 302
    assert found(acme, "returns") == ["Returns"]
    assert found(globex, "returns") == []


def test_a_changed_article_is_found_by_its_new_words(olga: Client, acme: Actor) -> None:
    article = new_article(acme, "Refunds")
    olga.post(f"{LIST}{article.id}/change/", form(title="Warranty"))
    assert found(acme, "warranty") == ["Warranty"]
    assert found(acme, "refunds") == []


def test_an_article_stays_with_its_tenant(olga: Client, acme: Actor, globex: Actor) -> None:
    article = new_article(acme, "Refunds")
    olga.post(f"{LIST}{article.id}/change/", form(tenant=globex.tenant_id))
    article.refresh_from_db()
    assert (article.tenant_id, article.title) == (acme.tenant_id, "Returns")


def test_a_deleted_article_is_not_found(olga: Client, acme: Actor) -> None:
    article = new_article(acme, "Refunds")
    assert "Refunds" in olga.get(f"{LIST}{article.id}/delete/").content.decode()
    olga.post(f"{LIST}{article.id}/delete/", {"post": "yes"})
    assert not Article.objects.for_tenant(acme.tenant_id).exists()
    assert found(acme, "refunds") == []


def test_the_selected_articles_are_deleted_and_no_others(olga: Client, acme: Actor) -> None:
    gone, kept = new_article(acme, "Refunds"), new_article(acme, "Warranty")
    chosen = {"action": "delete_selected", "_selected_action": [str(gone.id)], "select_across": "1"}
    olga.post(LIST, {**chosen, "post": "yes"})
    assert list(Article.objects.for_tenant(acme.tenant_id)) == [kept]


def test_who_may_only_look_sees_an_article(acme: Actor) -> None:
    article = new_article(acme, "Refunds")
    viewer = client_of(staff("vic", "view_article"))
    assert "Something else." in viewer.get(f"{LIST}{article.id}/change/").content.decode()
    assert viewer.post(f"{LIST}{article.id}/change/", form()).status_code == 403


def test_the_list_filters_by_language_and_state(olga: Client, acme: Actor) -> None:
    new_article(acme, "Versand", language="de")
    new_article(acme, "Entwurf", language="de", state="draft")
    new_article(acme, "Shipping")
    page = olga.get(LIST, {"language": "de", "state__exact": "published"}).content.decode()
    assert "Versand" in page
    assert "Entwurf" not in page
    assert "Shipping" not in page


def test_the_list_is_searched_by_title(olga: Client, acme: Actor) -> None:
    new_article(acme, "Shipping to Norway")
    new_article(acme, "Warranty")
    page = olga.get(LIST, {"q": "norway"}).content.decode()
    assert "Shipping to Norway" in page
    assert "Warranty" not in page
