"""What does a tenant know about a question?

Okapi BM25 over the postings table. Counts and scores are integers that every database computes
alike; only the logarithm is taken here. So SQLite and PostgreSQL rank the same, to the last tie.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter

from django.db import transaction
from django.db.models import BigIntegerField, Case, Count, F, Sum, Value, When
from django.db.models.functions import Cast

from agents.contract import Passage
from agents.excerpts import excerpt
from agents.models import Article, Posting
from agents.terms import terms

#: A term in the title counts as often as this many in the body.
TITLE_WEIGHT = 3
#: Longest passage, in characters: a long paragraph; three of them are no burden to a model.
PASSAGE_CHARACTERS = 800
#: Different terms of a question that are looked for: a long message is judged by its beginning.
MAX_TERMS = 50
#: A term's weight is kept in millionths, finer than any difference that means something.
SCALE = 1_000_000
#: A term counts at most so often in an article. BM25 is flat long before, and no product of it leaves 64 bits.
MAX_FREQUENCY = 1000


@transaction.atomic
def save_article(article: Article) -> None:
    """Store a new or changed article and index it: from now on it is quoted as it is now."""
    article.save()
    index_article(article)


@transaction.atomic
def index_article(article: Article) -> None:
    """Index an article that was just stored; call it in the transaction that stored it."""
    frequencies = Counter(terms(article.body))
    for term in terms(article.title):
        frequencies[term] += TITLE_WEIGHT
    article.length = frequencies.total()
    # The article's row comes first: its lock keeps two savings of one article apart.
    Article.objects.for_tenant(article.tenant_id).filter(id=article.id).update(length=article.length)
    Posting.objects.for_tenant(article.tenant_id).filter(article=article).delete()
    Posting.objects.bulk_create(
        Posting(tenant_id=article.tenant_id, article=article, term=term, frequency=min(frequency, MAX_FREQUENCY))
        for term, frequency in frequencies.items()
    )


def do_delete_article(article: Article) -> None:
    """The article is gone with all of its index; nothing quotes it any more."""
    article.delete()


def search(*, tenant_id: uuid.UUID, question: str, limit: int = 3) -> list[Passage]:
    """The best passage of each of the `limit` articles that fit the question best, the best first.

    Only published articles of the tenant count, as they are at this moment. A passage has at most
    PASSAGE_CHARACTERS; its score is its article's BM25 as a share (0 to 1) of what an article would
    get that speaks of nothing but the whole question.
    """
    wanted = list(dict.fromkeys(terms(question)))[:MAX_TERMS]
    published = Article.objects.for_tenant(tenant_id).filter(state=Article.State.PUBLISHED)
    size = published.aggregate(articles=Count("id"), terms=Sum("length"))
    if not wanted or not size["terms"]:
        return []
    weights = _weights(tenant_id, wanted, articles=size["articles"])
    scores = _scores(tenant_id, weights, average=max(1, size["terms"] // size["articles"]), limit=limit)
    articles = published.in_bulk(scores)
    return [
        Passage(
            article_id=str(article.id),
            title=article.title,
            text=_passage(article, weights),
            score=scores[article.id] / sum(weights.values()),
            url=article.source_url,
        )
        # One that was deleted since it was scored is not among them.
        for article in (articles[article_id] for article_id in scores if article_id in articles)
    ]


def _passage(article: Article, weights: dict[str, int]) -> str:
    """The part of the article that has what its title does not say: the rest is what all of it is about."""
    title = set(terms(article.title))
    wanted = {term: weight for term, weight in weights.items() if term not in title}
    return excerpt(article.body, wanted, longest=PASSAGE_CHARACTERS)


def _weights(tenant_id: uuid.UUID, wanted: list[str], *, articles: int) -> dict[str, int]:
    """What each term says about an article: its inverse document frequency. One that no article uses says most."""
    uses = Posting.objects.for_tenant(tenant_id).filter(article__state=Article.State.PUBLISHED, term__in=wanted)
    frequencies = dict.fromkeys(wanted, 0) | dict(uses.values_list("term").annotate(Count("id")))
    return {
        term: round(SCALE * math.log(1 + (articles - frequency + 0.5) / (frequency + 0.5)))
        for term, frequency in frequencies.items()
    }


def _scores(tenant_id: uuid.UUID, weights: dict[str, int], *, average: int, limit: int) -> dict[uuid.UUID, int]:
    """The scores of the best articles, the best first, and of equal ones the lower id.

    Each term adds weight * f / (f + k1 * (1 - b + b * length / average)) with the usual k1 = 1.2 and
    b = 0.75, here multiplied by 10 * average above and below the line, to stay within integers.
    """
    weight = Case(*(When(term=term, then=Value(w)) for term, w in weights.items()), output_field=BigIntegerField())
    frequency = Cast("frequency", BigIntegerField()) * (10 * average)
    share = weight * frequency / (frequency + 3 * average + 9 * F("article__length"))
    ranked = (
        Posting.objects.for_tenant(tenant_id)
        .filter(article__state=Article.State.PUBLISHED, term__in=weights)
        .values_list("article_id")
        .annotate(score=Sum(share, output_field=BigIntegerField()))
        .order_by("-score", "article_id")
    )
    return {article_id: int(score) for article_id, score in ranked[:limit]}
