"""The knowledge base: what is found for a question, and what never is."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from knowledge import article_store, inverted_index, retrieval
from knowledge.demo import save_demo_articles
from knowledge.models import Article, ArticleVersion
from tenants.models import Tenant
from tests.agents.conftest import Write


def forget() -> None:
    """Remember nothing any more, as a process that has just begun."""
    inverted_index._indexes.clear()


def found(tenant: Tenant, question: str, limit: int = 3) -> list[str]:
    return [passage.title for passage in retrieval.search(tenant_id=tenant.id, question=question, limit=limit)]


def test_the_articles_that_fit_best_come_first(acme: Tenant, write: Write) -> None:
    write("Lamps", "A lamp needs a bulb.")
    write("Bulbs", "A bulb fits a lamp. A bulb lasts long.")
    write("Tables", "A table needs no bulb.")
    write("Chairs", "A chair needs nothing.")
    assert found(acme, "Which bulb fits my lamp?") == ["Bulbs", "Lamps", "Tables"]


def test_a_word_in_the_title_counts_more_than_one_in_the_body(acme: Tenant, write: Write) -> None:
    write("Something else", "Warranty. Nothing. More.")
    write("Warranty", "Something else. Nothing. More.")
    assert found(acme, "warranty") == ["Warranty", "Something else"]


def test_a_rare_word_counts_more_than_a_common_one(acme: Tenant, write: Write) -> None:
    for number in range(5):
        write(f"Lamp {number}", "A lamp of metal.")
    write("Glass", "A thing of crystal.")
    assert found(acme, "crystal lamp", limit=1) == ["Glass"]


def test_a_short_article_fits_better_than_a_long_one_with_the_same_words(acme: Tenant, write: Write) -> None:
    write("Long", "A lamp. " + "Words about tables. " * 50)
    write("Short", "A lamp. Words about tables.")
    assert found(acme, "lamp") == ["Short", "Long"]


def test_equal_articles_come_in_the_order_of_their_ids(acme: Tenant, write: Write) -> None:
    ids = sorted(uuid.uuid4() for _ in range(8))
    for article_id in reversed(ids):
        write("Lamps", "A lamp needs a bulb.", id=article_id)
    passages = retrieval.search(tenant_id=acme.id, question="lamp bulb", limit=8)
    assert [passage.article_id for passage in passages] == [str(article_id) for article_id in ids]
    assert len({passage.score for passage in passages}) == 1


@pytest.mark.parametrize(
    "question", ["How long does a refund take on a credit card?", "Can I return furniture?", "Where is my parcel?"]
)
def test_scores_are_the_same_whatever_the_process_remembers(acme: Tenant, question: str) -> None:
    save_demo_articles(acme)
    remembered = retrieval.search(tenant_id=acme.id, question=question, limit=20)
    forget()
    assert len(remembered) > 1
    assert retrieval.search(tenant_id=acme.id, question=question, limit=20) == remembered


def test_the_ranking_of_the_demo_articles_is_this_on_every_database(acme: Tenant) -> None:
    save_demo_articles(acme)
    assert found(acme, "How long does a refund take on a credit card?", limit=2) == ["Refunds", "Payment methods"]
    assert found(acme, "What are your business hours?", limit=1) == ["Business hours"]
    assert found(acme, "Can I change the delivery address of my order?", limit=1) == ["Changing or cancelling an order"]


def test_a_score_is_a_share_of_the_question(acme: Tenant, write: Write) -> None:
    write("Lamps", "A lamp needs a bulb.")
    write("Rivers", "A river.")
    [whole] = retrieval.search(tenant_id=acme.id, question="lamp bulb")
    [half] = retrieval.search(tenant_id=acme.id, question="lamp zebra")
    assert 0 < half.score < whole.score < 1


def test_another_tenants_articles_are_not_found(acme: Tenant, globex: Tenant, write: Write) -> None:
    write("Lamps", "A lamp needs a bulb.", tenant=acme)
    assert found(acme, "lamp") == ["Lamps"]
    assert found(globex, "lamp") == []


def test_another_tenants_articles_do_not_change_a_score(acme: Tenant, globex: Tenant, write: Write) -> None:
    write("Lamps", "A lamp needs a bulb.")
    write("Tables", "A table.")
    before = retrieval.search(tenant_id=acme.id, question="lamp")
    for number in range(5):
        write(f"Lamp {number}", "Lamp after lamp. " * 20, tenant=globex)
    assert before
    assert retrieval.search(tenant_id=acme.id, question="lamp") == before


def test_a_deleted_article_is_gone_at_once(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp needs a bulb.")
    assert found(acme, "lamp") == ["Lamps"]
    article_store.do_delete_article(article)
    assert found(acme, "lamp") == []


def test_a_draft_is_not_found_until_it_is_published(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp needs a bulb.", state=Article.State.DRAFT)
    assert found(acme, "lamp") == []
    article.state = Article.State.PUBLISHED
    article_store.save_article(article)
    assert found(acme, "lamp") == ["Lamps"]


def test_a_draft_does_not_change_a_score(acme: Tenant, write: Write) -> None:
    write("Lamps", "A lamp needs a bulb.")
    before = retrieval.search(tenant_id=acme.id, question="lamp")
    write("Drafts", "Lamp after lamp. " * 20, state=Article.State.DRAFT)
    assert before
    assert retrieval.search(tenant_id=acme.id, question="lamp") == before


def test_an_article_that_is_hidden_behind_our_back_is_not_found(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp needs a bulb.")
    Article.objects.for_tenant(acme.id).filter(id=article.id).update(state=Article.State.DRAFT)
    assert found(acme, "lamp") == []


def test_a_changed_article_is_found_by_what_it_says_now(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp needs a bulb.")
    article.title, article.body = "Trains", "A train has rails."
    article_store.save_article(article)
    assert found(acme, "lamp bulb") == []
    [passage] = retrieval.search(tenant_id=acme.id, question="train rails")
    assert (passage.title, passage.text) == ("Trains", "A train has rails.")


def test_an_article_that_was_not_saved_is_not_indexed(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp needs a bulb.")

    def save_and_fail() -> None:
        with transaction.atomic():
            article.body = "A train has rails."
            article_store.save_article(article)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        save_and_fail()
    assert found(acme, "bulb") == ["Lamps"]
    assert found(acme, "rails") == []


def test_at_most_so_many_passages_as_asked_for(acme: Tenant, write: Write) -> None:
    for number in range(5):
        write(f"Lamp {number}", "A lamp.")
    assert len(found(acme, "lamp")) == 3
    assert len(found(acme, "lamp", limit=4)) == 4


def test_a_passage_is_the_best_part_and_not_the_whole(acme: Tenant, write: Write) -> None:
    write("Lamps", "A lamp is a nice thing.\n\nTo change the bulb, unscrew the shade.\n\nLamps are made of oak.")
    [passage] = retrieval.search(tenant_id=acme.id, question="How do I change the bulb?")
    assert passage.text == "To change the bulb, unscrew the shade."


def test_words_of_the_title_are_no_reason_for_a_later_part(acme: Tenant, write: Write) -> None:
    write("Business hours", "We are open from nine to five.\n\nAt Christmas our hours are shorter.")
    [passage] = retrieval.search(tenant_id=acme.id, question="What are your business hours?")
    assert passage.text == "We are open from nine to five."
    [passage] = retrieval.search(tenant_id=acme.id, question="What are your business hours at Christmas?")
    assert passage.text == "At Christmas our hours are shorter."


def test_a_passage_is_never_longer_than_its_bound(acme: Tenant, write: Write) -> None:
    write("Lamps", "A lamp without an end, " * 1000)
    [passage] = retrieval.search(tenant_id=acme.id, question="lamp")
    assert 0 < len(passage.text) <= retrieval.PASSAGE_CHARACTERS


@pytest.mark.parametrize("question", ["", "?", "and the", "👍", "zebra"])
def test_a_question_without_a_term_of_any_article_finds_nothing(acme: Tenant, write: Write, question: str) -> None:
    write("Lamps", "A lamp needs a bulb.")
    assert found(acme, question) == []


def test_a_tenant_without_articles_finds_nothing(acme: Tenant) -> None:
    assert found(acme, "lamp") == []


def test_an_article_without_a_term_is_no_failure(acme: Tenant, write: Write) -> None:
    write("?", "!")
    assert found(acme, "lamp") == []


def test_the_longest_message_is_searched_like_any_other(acme: Tenant, write: Write) -> None:
    write("Lamps", "A lamp needs a bulb.")
    assert found(acme, "lamp " + " ".join(f"word{number}" for number in range(4000))) == ["Lamps"]


def test_the_longest_article_of_one_word_is_searched_like_any_other(acme: Tenant, write: Write) -> None:
    write("Lamps", "lamp " * 200_000)
    write("Tables", "A table.")
    assert sorted(found(acme, "lamp table")) == ["Lamps", "Tables"]


@pytest.mark.parametrize("hostile", ["'; DROP TABLE agents_posting; --", "100% _", '"lamp', "lamp\\", "lamp) OR (1=1"])
def test_a_question_is_data_to_the_database(acme: Tenant, write: Write, hostile: str) -> None:
    write("Lamps", "A lamp needs a bulb.")
    found(acme, hostile)
    assert found(acme, "lamp") == ["Lamps"]


def test_a_search_is_two_statements_however_many_articles_fit(acme: Tenant, write: Write) -> None:
    for number in range(10):
        write(f"Lamp {number}", "A lamp.")
    found(acme, "lamp")
    with CaptureQueriesContext(connection) as statements:
        found(acme, "a lmap lamp")
    assert len(statements) == 2


# --- What changes is known at once, also what another process changed ---


def test_a_text_that_another_process_changed_is_found_by_its_new_words(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp needs a bulb.")
    found(acme, "lamp")
    elsewhere = Article.objects.for_tenant(acme.id).get(id=article.id)
    elsewhere.title, elsewhere.body = "Trains", "A train needs rails."
    article_store.save_article(elsewhere)
    assert found(acme, "lamp bulb") == []
    assert found(acme, "train") == ["Trains"]


def test_what_a_transaction_took_back_is_forgotten(acme: Tenant, write: Write) -> None:
    write("Lamps", "A lamp needs a bulb.")
    with transaction.atomic():
        write("Trains", "A train has rails.")
        assert found(acme, "train") == ["Trains"]
        transaction.set_rollback(True)
    assert found(acme, "train") == []
    assert found(acme, "lamp") == ["Lamps"]


def test_a_process_forgets_the_tenants_that_ask_least(
    acme: Tenant, globex: Tenant, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverted_index, "MOST_ARTICLES", 2)
    forget()
    for tenant in (acme, globex):
        write("Lamps", "A lamp.", tenant=tenant)
        write("Trains", "A train.", tenant=tenant)
        assert found(tenant, "lamp") == ["Lamps"]
    assert found(acme, "train") == ["Trains"]
    assert list(inverted_index._indexes) == [acme.id]


# --- Languages ---


def test_each_article_is_found_in_its_own_language(acme: Tenant, write: Write) -> None:
    write("Versandkosten", "Lieferungen nach Österreich dauern drei Tage.", language="de-AT")
    write("Shipping", "Deliveries to Austria take three days.")
    assert found(acme, "Wie lange dauert eine Lieferung nach Österreich?")[0] == "Versandkosten"
    assert found(acme, "How long is a delivery to Austria?")[0] == "Shipping"


def test_tags_of_one_language_are_ranked_together(acme: Tenant, write: Write) -> None:
    write("Versand", "Lieferungen dauern drei Tage.", language="de")
    write("Versand nach Wien", "Lieferungen nach Wien dauern vier Tage.", language="de-AT")
    assert found(acme, "Lieferung nach Wien") == ["Versand nach Wien", "Versand"]


def test_words_of_one_language_are_common_in_that_language_only(acme: Tenant, write: Write) -> None:
    for number in range(4):
        write(f"Hotel {number}", "Ein Hotel.", language="de")
    write("Hotel", "A hotel.")
    write("Garage", "A garage.")
    assert found(acme, "hotel", limit=1) == ["Hotel"]


def test_an_article_in_japanese_is_found(acme: Tenant, write: Write) -> None:
    write("返品について", "商品は三十日以内に返品できます。", language="ja")
    write("営業時間", "月曜日から金曜日まで営業しています。", language="ja")
    assert found(acme, "返品できますか", limit=1) == ["返品について"]


# --- Synonyms and slips ---


def test_the_tenants_synonyms_hold_from_the_next_question_on(acme: Tenant, write: Write) -> None:
    write("Gizmos", "A gizmo needs a battery.")
    assert found(acme, "thingamajig") == []
    acme.synonyms = [["gizmo", "thingamajig"]]
    acme.save()
    assert found(acme, "My thingamajigs are empty") == ["Gizmos"]
    acme.synonyms = []
    acme.save()
    assert found(acme, "thingamajig") == []


def test_another_tenants_synonyms_mean_nothing_here(acme: Tenant, globex: Tenant, write: Write) -> None:
    globex.synonyms = [["gizmo", "thingamajig"]]
    globex.save()
    write("Gizmos", "A gizmo needs a battery.")
    assert found(acme, "thingamajig") == []


def test_a_synonym_may_be_a_phrase(acme: Tenant, write: Write) -> None:
    acme.synonyms = [["click and collect", "branch pickup", "bopis"]]
    acme.save()
    write("Branch pickup", "Choose a branch for pickup at the checkout.")
    write("Branches", "We have a branch in each city.")
    write("Parcels", "A parcel takes three days.")
    assert found(acme, "How does bopis work?") == ["Branch pickup"]


def test_a_word_that_nobody_uses_is_taken_for_one_that_is_a_slip_away(acme: Tenant, write: Write) -> None:
    write("Warranty", "Two years of warranty.")
    write("Lamps", "A lamp.")
    for slip in ("warrnty", "waranty", "warrantty", "warrnaty"):
        assert found(acme, slip) == ["Warranty"], slip


def test_a_word_that_somebody_uses_is_no_slip(acme: Tenant, write: Write) -> None:
    write("Planets", "A planet.")
    write("Planks", "A plank.")
    assert found(acme, "planets") == ["Planets"]


def test_what_is_related_is_found_where_nothing_is_meant(acme: Tenant, write: Write) -> None:
    write("Customs", "You pay customs.")
    write("Lamps", "A lamp.")
    assert found(acme, "Is there anything to pay at the border?") == ["Customs"]


# --- What it said before ---


def test_what_an_article_said_before_is_kept(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp.", category="Light")
    article.title, article.state = "Lights", Article.State.DRAFT
    article_store.save_article(article)
    article.body = "Many lamps."
    article_store.save_article(article)
    versions = list(ArticleVersion.objects.for_tenant(acme.id).order_by("number"))
    assert [(v.number, v.title, v.body, v.state) for v in versions] == [
        (1, "Lamps", "A lamp.", "published"),
        (2, "Lights", "A lamp.", "draft"),
    ]


def test_a_saving_that_changes_nothing_is_no_version(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp.")
    assert article_store.save_article(article) is False
    assert not ArticleVersion.objects.for_tenant(acme.id).exists()


def test_a_version_is_restored_and_what_stood_instead_is_one_too(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp needs a bulb.")
    article.body = "A lamp needs oil."
    article_store.save_article(article)
    article_store.restore_version(ArticleVersion.objects.for_tenant(acme.id).get())
    assert found(acme, "bulb") == ["Lamps"]
    assert ArticleVersion.objects.for_tenant(acme.id).get(number=2).body == "A lamp needs oil."


def test_versions_go_with_their_article(acme: Tenant, write: Write) -> None:
    article = write("Lamps", "A lamp.")
    article.body = "Two lamps."
    article_store.save_article(article)
    article_store.do_delete_article(article)
    assert not ArticleVersion.objects.for_tenant(acme.id).exists()
