"""What does a tenant know about a question?

Every statement begins with the tenant, and sees articles as they are at this moment. What ranks is
`agents.ranking`, over rows that every database gives alike.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Count, QuerySet, Subquery, Sum

from agents import ranking
from agents.contract import Passage
from agents.excerpts import excerpt
from agents.languages import primary
from agents.models import Article, Posting
from agents.ranking import Concept, Use
from agents.spelling import neighbours
from agents.terms import INDEXED_BY, terms
from tenants.models import Tenant

#: A term in the title counts as often as this many in the body.
TITLE_WEIGHT = 3
#: Longest passage, in characters: a long paragraph; three of them are no burden to a model.
PASSAGE_CHARACTERS = 800
#: Different things of a question that are looked for: a long message is judged by its beginning.
MAX_TERMS = 50
#: A term counts at most so often in an article: BM25 is flat long before.
MAX_FREQUENCY = 1000


@transaction.atomic
def save_article(article: Article) -> None:
    """Store a new or changed article and index it: from now on it is quoted as it is now."""
    article.save()
    index_article(article)


@transaction.atomic
def index_article(article: Article) -> None:
    """Index an article that was just stored; call it in the transaction that stored it."""
    frequencies = Counter(terms(article.body, article.language))
    for term in terms(article.title, article.language):
        frequencies[term] += TITLE_WEIGHT
    article.length = frequencies.total()
    article.indexed_by = INDEXED_BY
    # The article's row comes first: its lock keeps two savings of one article apart.
    own = Article.objects.for_tenant(article.tenant_id).filter(id=article.id)
    own.update(length=article.length, indexed_by=INDEXED_BY)
    Posting.objects.for_tenant(article.tenant_id).filter(article=article).delete()
    Posting.objects.bulk_create(
        Posting(tenant_id=article.tenant_id, article=article, term=term, frequency=min(frequency, MAX_FREQUENCY))
        for term, frequency in frequencies.items()
    )


def do_delete_article(article: Article) -> None:
    """The article is gone with all of its index; nothing quotes it any more."""
    article.delete()


@dataclass
class Shelf:
    """The published articles of a tenant in one language."""

    language: str
    articles: int = 0
    terms: int = 0
    wanted: list[Concept] = field(default_factory=list)
    uses: list[Use[uuid.UUID]] = field(default_factory=list)


def search(*, tenant_id: uuid.UUID, question: str, limit: int = 3) -> list[Passage]:
    """The best passage of each of the `limit` articles that fit the question best, the best first.

    Only published articles of the tenant count, as they are at this moment. A passage has at most
    PASSAGE_CHARACTERS; its score is its article's BM25 as a share (0 to 1) of what an article would
    get that speaks of nothing but the whole question, among the articles in its language.
    """
    shelves, synonyms = _shelves(tenant_id)
    for shelf in shelves.values():
        groups = [[terms(phrase, shelf.language) for phrase in group] for group in synonyms]
        shelf.wanted = ranking.concepts(terms(question, shelf.language), groups)[:MAX_TERMS]
    _look_up(tenant_id, shelves, {term for shelf in shelves.values() for c in shelf.wanted for term in c.terms})
    _spell(tenant_id, shelves)
    ranked: list[tuple[float, uuid.UUID]] = []
    weights: dict[str, dict[Concept, int]] = {}
    for shelf in shelves.values():
        weights[shelf.language], spoken = ranking.weigh(shelf.wanted, shelf.uses, articles=shelf.articles)
        most = sum(weights[shelf.language].values())
        scores = ranking.scores(weights[shelf.language], spoken, average=max(1, shelf.terms // shelf.articles))
        ranked += ((score / most, article) for article, score in scores.items())
    best = {article: score for score, article in sorted(ranked, key=lambda each: (-each[0], each[1]))[:limit]}
    articles = _published(tenant_id).in_bulk(best)
    return [
        Passage(
            article_id=str(article.id),
            title=article.title,
            text=_passage(article, weights[primary(article.language)]),
            score=best[article.id],
            url=article.source_url,
        )
        # One that was deleted since it was scored is not among them.
        for article in (articles[article_id] for article_id in best if article_id in articles)
    ]


def _shelves(tenant_id: uuid.UUID) -> tuple[dict[str, Shelf], list[list[str]]]:
    """How much the tenant has in which language, and the words that mean the same to it."""
    shelves: dict[str, Shelf] = {}
    synonyms: list[list[str]] = []
    own = Subquery(Tenant.objects.filter(id=tenant_id).values("synonyms"))
    sizes = _published(tenant_id).order_by("language").values_list("language").annotate(Count("id"), Sum("length"), own)
    for tag, articles, length, synonyms in sizes:
        shelf = shelves.setdefault(primary(tag), Shelf(primary(tag)))
        shelf.articles += articles
        shelf.terms += length
    return shelves, synonyms


def _look_up(tenant_id: uuid.UUID, shelves: dict[str, Shelf], wanted: Iterable[str]) -> None:
    """Put on each shelf which of its articles use the wanted terms."""
    if not (wanted := list(wanted)):
        return
    postings = Posting.objects.for_tenant(tenant_id).filter(term__in=wanted, article__state=Article.State.PUBLISHED)
    for article, term, frequency, length, tag in postings.values_list(
        "article_id", "term", "frequency", "article__length", "article__language"
    ):
        if shelf := shelves.get(primary(tag)):
            shelf.uses.append(Use(article, term, frequency, length))


def _spell(tenant_id: uuid.UUID, shelves: dict[str, Shelf]) -> None:
    """Where no article uses a word, take the one most of them use of those a slip away from it."""
    unknown = {
        (language, concept): neighbours(concept.word)
        for language, shelf in shelves.items()
        for used in [{use.term for use in shelf.uses}]
        for concept in shelf.wanted
        if concept.word and concept.word not in used
    }
    if not (slips := set[str]().union(*unknown.values())):
        return
    found = {language: Shelf(language) for language in shelves}
    _look_up(tenant_id, found, slips)
    for (language, concept), near in unknown.items():
        uses = Counter(use.term for use in found[language].uses if use.term in near)
        if not uses:
            continue
        meant = min(uses, key=lambda term: (-uses[term], term))
        shelf = shelves[language]
        shelf.wanted = list(dict.fromkeys(Concept(((meant,),)) if c == concept else c for c in shelf.wanted))
        if all(use.term != meant for use in shelf.uses):
            shelf.uses += (use for use in found[language].uses if use.term == meant)


def _published(tenant_id: uuid.UUID) -> QuerySet[Article]:
    return Article.objects.for_tenant(tenant_id).filter(state=Article.State.PUBLISHED)


def _passage(article: Article, weights: dict[Concept, int]) -> str:
    """The part of the article that has what its title does not say: the rest is what all of it is about."""
    title = set(terms(article.title, article.language))
    wanted = {term: float(weight) for concept, weight in weights.items() for term in concept.terms - title}
    return excerpt(article.body, wanted, longest=PASSAGE_CHARACTERS, language=article.language)
